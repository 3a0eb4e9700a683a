/* SPDX-License-Identifier: PostgreSQL */
#include "base/buf.h"
