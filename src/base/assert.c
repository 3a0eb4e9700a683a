/* SPDX-License-Identifier: PostgreSQL */
#include "base/assert.h"
