/* SPDX-License-Identifier: PostgreSQL */
/*
 * A result set of the console: columns from a table, values one after the
 * other, text format. Private to admin/. Pure.
 */
#ifndef WEIR_ADMIN_RESULT_H
#define WEIR_ADMIN_RESULT_H

#include <stdint.h>

#include "base/assert.h"
#include "base/buf.h"
#include "wire/build.h"

enum { RESULT_COLUMNS_MAX = 64, RESULT_NUMBER_MAX = 32 };

#define COLUMN_TEXT(name) \
	{                     \
		name, PG_OID_TEXT \
	}
#define COLUMN_INT(name)  \
	{                     \
		name, PG_OID_INT4 \
	}
#define COLUMN_BIG(name)  \
	{                     \
		name, PG_OID_INT8 \
	}
#define COLUMN_NUMERIC(name) \
	{                        \
		name, PG_OID_NUMERIC \
	}

struct result {
	struct buf *out; /* borrowed */
	size_t columns;
	size_t used; /* values of the current row */
	struct slice values[RESULT_COLUMNS_MAX];
	char numbers[RESULT_COLUMNS_MAX][RESULT_NUMBER_MAX];
};

void result_begin(struct result *r, struct buf *out, const struct build_column *columns,
                  size_t count);
#define RESULT_BEGIN(r, out, columns) result_begin(r, out, columns, WEIR_COUNTOF(columns))
void result_text(struct result *r,
                 const char *text); /* borrowed until result_row; NULL: SQL NULL */
void result_slice(struct result *r, struct slice text);
void result_number(struct result *r, uint64_t value);
void result_bool(struct result *r, bool value);      /* 1 or 0 */
void result_hex(struct result *r, uint64_t value);   /* 0x... */
void result_lsn(struct result *r, uint64_t lsn);     /* X/X, NULL for 0 */
void result_time(struct result *r, int64_t wall_us); /* UTC, NULL for 0 */
void result_row(struct result *r);                   /* every column has its value */
void result_end(struct result *r, const char *tag);  /* "SHOW" */

#endif
