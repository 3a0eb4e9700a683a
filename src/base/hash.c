/* SPDX-License-Identifier: PostgreSQL */
#include "base/hash.h"
