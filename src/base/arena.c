/* SPDX-License-Identifier: PostgreSQL */
#include "base/arena.h"
