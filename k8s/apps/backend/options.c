/* SPDX-License-Identifier: PostgreSQL */
/*
 * The option table's reader. An unknown FINAI_ name is refused, since it is a
 * misspelt option that would silently keep its default.
 */
#include "backend/options.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

struct row {
	const char *name;
	const char *text;
	const char *text_default; /* NULL: a number */
	size_t offset;
	uint32_t number_default, least, most;
};

static const struct row rows[] = {
#define TEXT(field, name, value, text) \
	{ name, text, value, offsetof(struct options, field), 0, 0, 0 },
#define NUMBER(field, name, value, least, most, text) \
	{ name, text, NULL, offsetof(struct options, field), value, least, most },
#include "backend/options.def"
#undef TEXT
#undef NUMBER
};

static void set_text(struct options *o, const struct row *r, const char *value)
{
	memcpy((char *)o + r->offset, &value, sizeof value);
}

static void set_number(struct options *o, const struct row *r, uint32_t value)
{
	memcpy((char *)o + r->offset, &value, sizeof value);
}

static int read_number(struct options *o, const struct row *r, const char *value)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(value, &end, 10);
	if (*value < '0' || *value > '9' || *end || errno || n < r->least || n > r->most)
		return WEIR_ERR_CONFIG;
	set_number(o, r, (uint32_t)n);
	return 0;
}

static const struct row *find_row(const char *entry, size_t name_len)
{
	for (size_t i = 0; i < WEIR_COUNTOF(rows); i++) {
		if (strlen(rows[i].name) == name_len && memcmp(rows[i].name, entry, name_len) == 0)
			return &rows[i];
	}
	return NULL;
}

static int read_entry(struct options *o, const char *entry, char *why, size_t why_size)
{
	const char *equals = strchr(entry, '=');
	size_t name_len = equals ? (size_t)(equals - entry) : strlen(entry);
	const struct row *r = find_row(entry, name_len);

	if (!r) {
		if (strncmp(entry, "FINAI_", 6) != 0)
			return 0;
		snprintf(why, why_size, "%.*s is no option", (int)name_len, entry);
		return WEIR_ERR_CONFIG;
	}
	if (!equals)
		return 0;
	if (r->text_default) {
		set_text(o, r, equals + 1);
	} else if (read_number(o, r, equals + 1) < 0) {
		snprintf(why, why_size, "%s: a whole number from %u to %u", r->name, r->least, r->most);
		return WEIR_ERR_CONFIG;
	}
	return 0;
}

int options_load(struct options *o, char *const *environment, char *why, size_t why_size)
{
	for (size_t i = 0; i < WEIR_COUNTOF(rows); i++) {
		if (rows[i].text_default)
			set_text(o, &rows[i], rows[i].text_default);
		else
			set_number(o, &rows[i], rows[i].number_default);
	}
	for (; *environment; environment++) {
		if (read_entry(o, *environment, why, why_size) < 0)
			return WEIR_ERR_CONFIG;
	}
	if (!*o->database_url) {
		snprintf(why, why_size, "DATABASE_URL isn't set");
		return WEIR_ERR_CONFIG;
	}
	return 0;
}

void options_print(FILE *out)
{
	for (size_t i = 0; i < WEIR_COUNTOF(rows); i++) {
		const struct row *r = &rows[i];

		if (r->text_default)
			fprintf(out, "%-28s %-22s %s\n", r->name, r->text_default, r->text);
		else
			fprintf(out, "%-28s %-22u %s (%u to %u)\n", r->name, r->number_default, r->text,
			        r->least, r->most);
	}
}
