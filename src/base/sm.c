/* SPDX-License-Identifier: PostgreSQL */
#include "base/sm.h"
