/* SPDX-License-Identifier: PostgreSQL */
/*
 * Values of options: parsing with range check, printing, comparing, copying,
 * all driven by the row. Pure.
 */
#include "config/value.h"

#include <inttypes.h>
#include <stdio.h>

#include "config/number.h"

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit byte_units[] = {
	{ "", 1 },
	{ "B", 1 },
	{ "kB", 1ULL << 10 },
	{ "MB", 1ULL << 20 },
	{ "GB", 1ULL << 30 },
	{ "TB", 1ULL << 40 },
	{ NULL, 0 },
};
static const struct unit time_units[] = {
	/* in microseconds */
	{ "", 1000000 },         { "us", 1 },         { "ms", 1000 },
	{ "s", 1000000 },        { "min", 60000000 }, { "h", 3600000000ULL },
	{ "d", 86400000000ULL }, { NULL, 0 },
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static const struct unit *unit_find(const struct unit *units, struct slice name)
{
	for (; units->name; units++)
		if (slice_is_nocase(name, units->name))
			return units;
	return NULL;
}

static bool out_of_range(const struct option *o, double value)
{
	return value < o->min || value > o->max;
}

static enum number_form form_of(const struct option *o)
{
	return o->is_global ? NUMBER_AS_IN_C : NUMBER_DECIMAL;
}

/* To PgBouncer a switch is a number. */
static bool parse_bool(const struct option *o, struct slice text, bool *out)
{
	static const char *const yes[] = { "on", "true", "yes", "t", "y" };
	static const char *const no[] = { "off", "false", "no", "f", "n" };
	struct number n;

	if (number_parse(text, form_of(o), &n) && !n.is_fraction && !n.unit.len) {
		*out = n.whole != 0;
		return true;
	}
	for (size_t i = 0; i < WEIR_COUNTOF(yes); i++) {
		if (slice_is_nocase(text, yes[i]) || slice_is_nocase(text, no[i])) {
			*out = slice_is_nocase(text, yes[i]);
			return true;
		}
	}
	return false;
}

static bool parse_int(const struct option *o, struct slice text, int *out)
{
	struct number n;

	if (!number_parse(text, form_of(o), &n) || n.is_fraction || n.unit.len)
		return false;
	if (o->kind == OPTION_LIMIT && n.is_negative)
		n = (struct number){ .whole = 0 };
	if (out_of_range(o, n.value))
		return false;
	*out = n.is_negative ? -(int)n.whole : (int)n.whole;
	return true;
}

static bool parse_scaled(const struct option *o, const struct number *n, const struct unit *units,
                         uint64_t *out)
{
	const struct unit *unit = unit_find(units, n->unit);
	uint64_t result;

	if (!unit || n->is_negative || n->value * (double)unit->factor >= 9e18)
		return false;
	result = n->whole * unit->factor + n->micros * unit->factor / 1000000;
	if (out_of_range(o, (double)result / (double)units[0].factor))
		return false;
	*out = result;
	return true;
}

static bool parse_bytes(const struct option *o, struct slice text, uint64_t *out)
{
	struct number n;

	return number_parse(text, form_of(o), &n) && parse_scaled(o, &n, byte_units, out);
}

/* With digits behind it that aren't of its base it is refused as one, not read as another. */
static bool parse_whole_in_c(struct slice text, struct number *n)
{
	return number_parse(text, NUMBER_AS_IN_C, n) &&
	       (!n->unit.len || (n->unit.ptr[0] >= '0' && n->unit.ptr[0] <= '9'));
}

/* PgBouncer's times have no bound: what is longer than ours is as good as never. */
static bool parse_seconds(const struct option *o, struct slice text, uint64_t *out)
{
	struct number n;

	if (!(o->kind == OPTION_WHOLE_SECONDS && parse_whole_in_c(text, &n)) &&
	    !number_parse(text, NUMBER_OF_TIME, &n))
		return false;
	if (o->max >= OPTION_SECONDS_FOREVER && !n.is_negative && !n.unit.len && n.value > o->max)
		n = (struct number){ .value = o->max, .whole = (uint64_t)o->max };
	return parse_scaled(o, &n, time_units, out);
}

static bool parse_word(enum option_kind kind, struct slice text, int *out)
{
	const char *const *list = option_words(kind);

	for (int i = 0; list[i]; i++) {
		if (slice_is_nocase(text, list[i])) {
			*out = i;
			return true;
		}
	}
	return false;
}

static void *field_of(const struct option *o, void *base)
{
	return (char *)base + o->offset;
}

static const void *field_of_const(const struct option *o, const void *base)
{
	return (const char *)base + o->offset;
}

/* Enums are stored as int: asserted below for the ABI at hand. */
_Static_assert(sizeof(enum config_pool_mode) == sizeof(int), "enums are ints");

static bool parse_field(const struct option *o, struct slice text, void *field, struct arena *arena)
{
	switch (o->kind) {
	case OPTION_BOOL:
		return parse_bool(o, text, field);
	case OPTION_INT:
	case OPTION_LIMIT:
	case OPTION_OCTAL:
	case OPTION_MILLIS:
		return parse_int(o, text, field);
	case OPTION_BYTES:
		return parse_bytes(o, text, field);
	case OPTION_SECONDS:
	case OPTION_WHOLE_SECONDS:
		return parse_seconds(o, text, field);
	case OPTION_TEXT:
	case OPTION_SECRET:
	case OPTION_URL:
		*(const char **)field = arena_strdup(arena, text);
		return true;
	default:
		return parse_word(o->kind, text, field);
	}
}

bool option_parse(const struct option *o, struct slice text, void *base, struct arena *arena,
                  char *why, size_t why_size)
{
	struct buf range;

	WEIR_ASSERT(o->name != NULL);
	if (parse_field(o, text, field_of(o, base), arena))
		return true;
	buf_init(&range, 512);
	option_print_range(o, &range);
	snprintf(why, why_size, "\"%.*s\" isn't %.*s", (int)(text.len > 64 ? 64 : text.len), text.ptr,
	         (int)range.len, range.data);
	buf_fini(&range);
	return false;
}

static bool ends_with_letter(const char *text)
{
	size_t len = strlen(text);

	return len > 0 && !is_digit(text[len - 1]);
}

/* In the style of the default: plain numbers stay plain, for tools that read them. */
static void print_bytes(const struct option *o, uint64_t value, struct buf *out)
{
	size_t unit = 0;

	if (o->default_text[0] == '\0' || ends_with_letter(o->default_text))
		for (unit = 1; byte_units[unit + 1].name; unit++)
			if (value == 0 || value % byte_units[unit + 1].factor)
				break;
	buf_appendf(out, "%" PRIu64 "%s", value / byte_units[unit].factor,
	            unit > 1 ? byte_units[unit].name : "");
}

static void print_seconds(uint64_t us, struct buf *out)
{
	char fraction[8];
	size_t len = 6;

	buf_appendf(out, "%" PRIu64, us / 1000000);
	if (us % 1000000 == 0)
		return;
	snprintf(fraction, sizeof(fraction), "%06u", (unsigned)(us % 1000000));
	while (len && fraction[len - 1] == '0')
		len--;
	buf_appendf(out, ".%.*s", (int)len, fraction);
}

/* scheme://user:password@host: what stands between the second colon and the last @ is hidden. */
static void print_url(const char *url, struct buf *out)
{
	const char *at = strrchr(url, '@');
	const char *start = strstr(url, "://");
	const char *colon = start ? strchr(start + 3, ':') : NULL;

	if (!at || !colon || colon > at) {
		buf_append_str(out, url);
		return;
	}
	buf_append(out, url, (size_t)(colon + 1 - url));
	buf_append_str(out, OPTION_SECRET_TEXT);
	buf_append_str(out, at);
}

static void print_bool(const struct option *o, bool value, struct buf *out)
{
	if (is_digit(o->default_text[0]))
		buf_append_str(out, value ? "1" : "0");
	else
		buf_append_str(out, value ? "on" : "off");
}

static const char *text_at(const void *field)
{
	return *(const char *const *)field;
}

void option_print(const struct option *o, const void *base, struct buf *out)
{
	const void *field = field_of_const(o, base);

	switch (o->kind) {
	case OPTION_BOOL:
		print_bool(o, *(const bool *)field, out);
		break;
	case OPTION_INT:
	case OPTION_LIMIT:
	case OPTION_MILLIS:
		buf_appendf(out, "%d", *(const int *)field);
		break;
	case OPTION_OCTAL:
		buf_appendf(out, "%04o", (unsigned)*(const int *)field);
		break;
	case OPTION_BYTES:
		print_bytes(o, *(const uint64_t *)field, out);
		break;
	case OPTION_SECONDS:
	case OPTION_WHOLE_SECONDS:
		print_seconds(*(const uint64_t *)field, out);
		break;
	case OPTION_TEXT:
		buf_append_str(out, text_at(field));
		break;
	case OPTION_SECRET:
		buf_append_str(out, *text_at(field) ? OPTION_SECRET_TEXT : "");
		break;
	case OPTION_URL:
		print_url(text_at(field), out);
		break;
	default:
		buf_append_str(out, option_words(o->kind)[*(const int *)field]);
		break;
	}
}

static size_t kind_size(enum option_kind kind)
{
	switch (kind) {
	case OPTION_BOOL:
		return sizeof(bool);
	case OPTION_BYTES:
	case OPTION_SECONDS:
	case OPTION_WHOLE_SECONDS:
		return sizeof(uint64_t);
	case OPTION_TEXT:
	case OPTION_SECRET:
	case OPTION_URL:
		return sizeof(const char *);
	default:
		return sizeof(int);
	}
}

bool option_equal(const struct option *o, const void *a, const void *b)
{
	const void *x = field_of_const(o, a), *y = field_of_const(o, b);

	if (o->kind == OPTION_TEXT || o->kind == OPTION_SECRET || o->kind == OPTION_URL)
		return strcmp(text_at(x), text_at(y)) == 0;
	return memcmp(x, y, kind_size(o->kind)) == 0;
}

void option_copy(const struct option *o, void *dst, const void *src, size_t src_offset)
{
	memcpy(field_of(o, dst), (const char *)src + src_offset, kind_size(o->kind));
}

void option_take(const struct option *o, void *dst, const void *src, struct arena *arena)
{
	void *field = field_of(o, dst);

	option_copy(o, dst, src, o->offset);
	if (o->kind == OPTION_TEXT || o->kind == OPTION_SECRET || o->kind == OPTION_URL)
		*(const char **)field = arena_strdup(arena, slice_str(text_at(field)));
}

static void print_words(const char *const *list, struct buf *out)
{
	for (size_t i = 0; list[i]; i++)
		buf_appendf(out, "%s%s", i == 0 ? "" : list[i + 1] ? ", " : " or ", list[i]);
}

void option_print_range(const struct option *o, struct buf *out)
{
	switch (o->kind) {
	case OPTION_BOOL:
		buf_append_str(out, "on or off");
		break;
	case OPTION_INT:
	case OPTION_LIMIT:
		buf_appendf(out, "a whole number from %.0f to %.0f", o->min, o->max);
		break;
	case OPTION_MILLIS:
		buf_appendf(out, "a number of milliseconds from %.0f to %.0f", o->min, o->max);
		break;
	case OPTION_OCTAL:
		buf_appendf(out, "an octal number, with a 0 in front, from %04o to %04o",
		            (unsigned)o->min, (unsigned)o->max);
		break;
	case OPTION_BYTES:
		buf_appendf(out, "a size (B, kB, MB, GB, TB) from %.0f to %.0f bytes", o->min, o->max);
		break;
	case OPTION_SECONDS:
	case OPTION_WHOLE_SECONDS:
		buf_appendf(out, "a number of seconds from %g to %.0f", o->min, o->max);
		break;
	case OPTION_TEXT:
	case OPTION_SECRET:
	case OPTION_URL:
		break;
	default:
		print_words(option_words(o->kind), out);
		break;
	}
}
