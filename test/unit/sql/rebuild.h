/* SPDX-License-Identifier: PostgreSQL */
/*
 * A text made from the shape of another: literals replaced by different ones.
 * If shapes mean what they promise, both have the same analysis.
 */
#ifndef TEST_UNIT_SQL_REBUILD_H
#define TEST_UNIT_SQL_REBUILD_H

#include "base/buf.h"

void rebuild_text(struct buf *out, struct slice text);

#endif
