/* SPDX-License-Identifier: PostgreSQL */
/*
 * Formats a log line. The format string is ours and trusted, string arguments
 * may come from a peer and are not: so the conversions are walked one by one,
 * numbers go through snprintf, strings through an escaper that keeps a line one
 * line and a value one value. Pure, any thread, no allocation.
 */
#include "base/log_line.h"

#include "base/assert.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { END_MARK_BYTES = 8, NUMBER_MAX = 512, SPEC_MAX = 64 };

struct args {
	va_list list;
};

/* One conversion, with every * already replaced by its number. */
struct spec {
	char text[SPEC_MAX]; /* "%", flags, width, precision; no length, no conversion */
	size_t len;
	int precision;  /* -1: none */
	char length[3]; /* "", hh, h, l, ll, z, j or t */
	char conv;
};

void log_line_init(struct log_line *line)
{
	line->len = 0;
	line->cut_at = LOG_LINE_MAX - END_MARK_BYTES;
}

/* One byte past cut_at is what remembers that the line was cut. */
static void put_char(struct log_line *line, char c)
{
	if (line->len <= line->cut_at)
		line->text[line->len++] = c;
}

void log_line_raw(struct log_line *line, const char *text)
{
	for (; *text; text++)
		put_char(line, *text);
}

static bool is_control(unsigned char c)
{
	return c < 0x20 || c == 0x7f;
}

static bool needs_quotes(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (is_control(c) || c == ' ' || c == '"' || c == '\\' || c == '=')
			return true;
	}
	return len == 0;
}

/* The C1 controls as UTF-8 (C2 80 to C2 9F), which some terminals obey. */
static bool is_c1(const char *s, size_t left)
{
	return left >= 2 && (unsigned char)s[0] == 0xc2 && (unsigned char)s[1] >= 0x80 &&
	       (unsigned char)s[1] <= 0x9f;
}

static void put_hex(struct log_line *line, unsigned char c)
{
	static const char digits[] = "0123456789abcdef";

	put_char(line, '\\');
	put_char(line, 'x');
	put_char(line, digits[c >> 4]);
	put_char(line, digits[c & 15]);
}

static void put_control(struct log_line *line, char c)
{
	static const char from[] = "\n\r\t", to[] = "nrt";
	const char *at = c ? strchr(from, c) : NULL;

	if (!at) {
		put_hex(line, (unsigned char)c);
		return;
	}
	put_char(line, '\\');
	put_char(line, to[at - from]);
}

static void put_escaped(struct log_line *line, const char *s, size_t len, bool in_quotes)
{
	for (size_t i = 0; i < len; i++) {
		if (is_control((unsigned char)s[i])) {
			put_control(line, s[i]);
		} else if (is_c1(s + i, len - i)) {
			put_hex(line, (unsigned char)s[i]);
			put_hex(line, (unsigned char)s[++i]);
		} else {
			if (s[i] == '\\' || (in_quotes && s[i] == '"'))
				put_char(line, '\\');
			put_char(line, s[i]);
		}
	}
}

/* A value behind '=' gets quotes where it needs them; one behind '"' has them. */
static void put_value(struct log_line *line, const char *s, size_t len)
{
	char before = line->len ? line->text[line->len - 1] : ' ';
	bool is_quoted = before == '=' && needs_quotes(s, len);

	if (is_quoted)
		put_char(line, '"');
	put_escaped(line, s, len, is_quoted || before == '"');
	if (is_quoted)
		put_char(line, '"');
}

static void spec_append(struct spec *spec, char c)
{
	WEIR_ASSERT(spec->len + 1 < sizeof(spec->text));
	spec->text[spec->len++] = c;
	spec->text[spec->len] = '\0';
}

static int spec_number(struct spec *spec, const char **at, struct args *args)
{
	int value = 0;

	if (**at == '*') {
		char digits[16];

		(*at)++;
		value = va_arg(args->list, int);
		snprintf(digits, sizeof(digits), "%d", value);
		for (const char *d = digits; *d; d++)
			spec_append(spec, *d);
		return value;
	}
	for (; **at >= '0' && **at <= '9'; (*at)++) {
		value = value * 10 + (**at - '0');
		spec_append(spec, **at);
	}
	return value;
}

/* *at stands behind the '%'; ends behind the conversion character. */
static void spec_parse(struct spec *spec, const char **at, struct args *args)
{
	size_t n = 0;

	*spec = (struct spec){ .precision = -1 };
	spec_append(spec, '%');
	while (**at && strchr("-+ #0'", **at))
		spec_append(spec, *(*at)++);
	spec_number(spec, at, args);
	if (**at == '.') {
		spec_append(spec, *(*at)++);
		spec->precision = spec_number(spec, at, args);
	}
	while (**at && strchr("hlzjt", **at)) {
		WEIR_ASSERT(n + 1 < sizeof(spec->length));
		spec->length[n++] = *(*at)++;
	}
	spec->conv = *(*at)++;
}

static intmax_t signed_arg(const struct spec *spec, struct args *args)
{
	if (strcmp(spec->length, "hh") == 0)
		return (signed char)va_arg(args->list, int);
	if (strcmp(spec->length, "h") == 0)
		return (short)va_arg(args->list, int);
	if (spec->length[0] == '\0')
		return va_arg(args->list, int);
	if (strcmp(spec->length, "ll") == 0)
		return va_arg(args->list, long long);
	if (spec->length[0] == 'j')
		return va_arg(args->list, intmax_t);
	if (spec->length[0] == 't')
		return va_arg(args->list, ptrdiff_t);
	return va_arg(args->list, long); /* l, and z: ssize_t */
}

static uintmax_t unsigned_arg(const struct spec *spec, struct args *args)
{
	if (strcmp(spec->length, "hh") == 0)
		return (unsigned char)va_arg(args->list, unsigned);
	if (strcmp(spec->length, "h") == 0)
		return (unsigned short)va_arg(args->list, unsigned);
	if (spec->length[0] == '\0')
		return va_arg(args->list, unsigned);
	if (strcmp(spec->length, "ll") == 0)
		return va_arg(args->list, unsigned long long);
	if (spec->length[0] == 'j')
		return va_arg(args->list, uintmax_t);
	return va_arg(args->list, size_t); /* l, z and t have one size here */
}

/* The rebuilt format is made of our own constant format's characters only. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static void put_number(struct log_line *line, struct spec *spec, struct args *args)
{
	char out[NUMBER_MAX];
	bool is_integer = strchr("diuxXo", spec->conv) != NULL;

	if (is_integer)
		spec_append(spec, 'j');
	spec_append(spec, spec->conv);
	if (spec->conv == 'd' || spec->conv == 'i')
		snprintf(out, sizeof(out), spec->text, signed_arg(spec, args));
	else if (is_integer)
		snprintf(out, sizeof(out), spec->text, unsigned_arg(spec, args));
	else if (spec->conv == 'p')
		snprintf(out, sizeof(out), spec->text, va_arg(args->list, void *));
	else
		snprintf(out, sizeof(out), spec->text, va_arg(args->list, double));
	log_line_raw(line, out);
}
#pragma GCC diagnostic pop

static void put_string(struct log_line *line, const struct spec *spec, const char *s)
{
	if (!s)
		s = "(null)";
	put_value(line, s, spec->precision < 0 ? strlen(s) : strnlen(s, (size_t)spec->precision));
}

static void put_conversion(struct log_line *line, const char **at, struct args *args)
{
	char scratch[128], c;
	struct spec spec;

	spec_parse(&spec, at, args);
	switch (spec.conv) {
	case '%':
		put_char(line, '%');
		break;
	case 's':
		put_string(line, &spec, va_arg(args->list, const char *));
		break;
	case 'c':
		c = (char)va_arg(args->list, int);
		put_value(line, &c, 1);
		break;
	case 'm':
		put_string(line, &spec, strerror_r(errno, scratch, sizeof(scratch)));
		break;
	default:
		WEIR_ASSERT(spec.conv != '\0' && strchr("diuxXopefg", spec.conv) != NULL);
		put_number(line, &spec, args);
	}
}

void log_line_vformat(struct log_line *line, const char *fmt, va_list args)
{
	struct args rest;

	va_copy(rest.list, args);
	while (*fmt) {
		if (*fmt == '%') {
			fmt++;
			put_conversion(line, &fmt, &rest);
		} else {
			put_char(line, *fmt++);
		}
	}
	va_end(rest.list);
}

void log_line_end(struct log_line *line)
{
	static const char mark[] = "...\n";

	if (line->len > line->cut_at) {
		line->len = line->cut_at;
		memcpy(line->text + line->len, mark, sizeof(mark));
		line->len += sizeof(mark) - 1;
		return;
	}
	line->text[line->len++] = '\n';
	line->text[line->len] = '\0';
}
