/* SPDX-License-Identifier: PostgreSQL */
/*
 * The query inside a PREPARE statement.
 */
#ifndef WEIR_SQL_PREPARE_H
#define WEIR_SQL_PREPARE_H

#include "base/slice.h"

/* What stands behind PREPARE name (types) AS; empty: it isn't such a text. Part of it. Pure. */
struct slice prepare_body(struct slice text);

#endif
