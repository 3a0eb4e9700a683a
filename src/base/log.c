/* SPDX-License-Identifier: PostgreSQL */
#include "base/log.h"
