/* SPDX-License-Identifier: PostgreSQL */
#include "base/err.h"
