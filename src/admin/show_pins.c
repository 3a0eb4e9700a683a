/* SPDX-License-Identifier: PostgreSQL */
/*
 * SHOW PINS: how many clients keep their server now, and how often that began,
 * by database and reason.
 */
#include "admin/command.h"
#include "admin/result.h"
#include "base/mem.h"
#include "sql/session_effect.h"

static const struct pin_columns {
	uint32_t pin;
	enum db_stat stat;
	const char *name;
} reasons[] = {
#define PIN_REASON(number, ID, name, text) { PIN_##ID, DB_STAT_pins_##name, #name },
#include "sql/pin_reasons.def"
};

static const struct build_column columns[] = { COLUMN_TEXT("database"), COLUMN_TEXT("reason"),
	                                           COLUMN_BIG("clients"), COLUMN_BIG("total") };

static uint64_t pinned_now(const struct admin_part *parts, const char *database, uint32_t pin)
{
	uint64_t n = 0;

	for (; parts; parts = parts->next)
		for (size_t i = 0; i < parts->client_count; i++)
			n += (parts->clients[i].pins & pin) &&
			     strcmp(parts->clients[i].database, database) == 0;
	return n;
}

void show_pins(struct show *s)
{
	const struct metrics *m = s->source->metrics;
	size_t room = metrics_database_room(m);
	struct db_sum *rows = mem_alloc(room * sizeof(*rows) + 1);
	size_t count = metrics_databases(m, rows, room);
	struct result r;

	RESULT_BEGIN(&r, s->out, columns);
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < WEIR_COUNTOF(reasons); k++) {
			result_text(&r, rows[i].name);
			result_text(&r, reasons[k].name);
			result_number(&r, pinned_now(s->parts, rows[i].name, reasons[k].pin));
			result_number(&r, rows[i].values[reasons[k].stat]);
			result_row(&r);
		}
	}
	result_end(&r, "SHOW");
	mem_free(rows);
}
