/* SPDX-License-Identifier: PostgreSQL */
#include "base/map.h"
