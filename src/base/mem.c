/* SPDX-License-Identifier: PostgreSQL */
#include "base/mem.h"
