/* SPDX-License-Identifier: PostgreSQL */
/*
 * Rows of the console. A row with too few or too many values is a bug of the
 * handler and asserted. Pure.
 */
#include "admin/result.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

void result_begin(struct result *r, struct buf *out, const struct build_column *columns,
                  size_t count)
{
	WEIR_ASSERT(count <= RESULT_COLUMNS_MAX);
	r->out = out;
	r->columns = count;
	r->used = 0;
	build_row_description(out, columns, count);
}

void result_slice(struct result *r, struct slice text)
{
	WEIR_ASSERT(r->used < r->columns);
	r->values[r->used++] = text;
}

void result_text(struct result *r, const char *text)
{
	result_slice(r, text ? slice_str(text) : slice_of(NULL, 0));
}

/* The current value's own room. */
static char *result_room(struct result *r)
{
	WEIR_ASSERT(r->used < r->columns);
	return r->numbers[r->used];
}

void result_number(struct result *r, uint64_t value)
{
	char *room = result_room(r);

	snprintf(room, RESULT_NUMBER_MAX, "%" PRIu64, value);
	result_text(r, room);
}

void result_bool(struct result *r, bool value)
{
	result_text(r, value ? "1" : "0");
}

void result_hex(struct result *r, uint64_t value)
{
	char *room = result_room(r);

	snprintf(room, RESULT_NUMBER_MAX, "0x%" PRIx64, value);
	result_text(r, value ? room : "");
}

void result_lsn(struct result *r, uint64_t lsn)
{
	char *room = result_room(r);

	snprintf(room, RESULT_NUMBER_MAX, "%" PRIX64 "/%" PRIX64, lsn >> 32, lsn & 0xffffffffu);
	result_text(r, lsn ? room : NULL);
}

void result_time(struct result *r, int64_t wall_us)
{
	char *room = result_room(r);
	time_t seconds = (time_t)(wall_us / 1000000);
	struct tm tm;

	if (wall_us == 0 || !gmtime_r(&seconds, &tm)) {
		result_text(r, NULL);
		return;
	}
	strftime(room, RESULT_NUMBER_MAX, "%Y-%m-%d %H:%M:%S UTC", &tm);
	result_text(r, room);
}

void result_row(struct result *r)
{
	WEIR_ASSERT(r->used == r->columns);
	build_data_row(r->out, r->values, r->used);
	r->used = 0;
}

void result_end(struct result *r, const char *tag)
{
	WEIR_ASSERT(r->used == 0);
	build_command_complete(r->out, tag);
}
