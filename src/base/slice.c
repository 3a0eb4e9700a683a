/* SPDX-License-Identifier: PostgreSQL */
#include "base/slice.h"
