/* SPDX-License-Identifier: PostgreSQL */
#include "base/clock.h"
