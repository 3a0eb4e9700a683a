/* SPDX-License-Identifier: PostgreSQL */
/*
 * A line is built by jansson, which escapes everything that could break or
 * forge one, and leaves in one write(2). One variable: the level, set once at
 * the start.
 */
#include "backend/journal.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"

enum { TIME_MAX = 40, US_PER_S = 1000000 };

static const char *const levels[] = {
	[JOURNAL_ERROR] = "error",
	[JOURNAL_WARN] = "warn",
	[JOURNAL_INFO] = "info",
	[JOURNAL_DEBUG] = "debug",
};

static enum journal_level threshold = JOURNAL_INFO;

int journal_set_level(const char *name)
{
	for (unsigned i = 0; i < WEIR_COUNTOF(levels); i++) {
		if (strcmp(levels[i], name) == 0) {
			threshold = (enum journal_level)i;
			return WEIR_OK;
		}
	}
	return WEIR_ERR_CONFIG;
}

static void format_now(char text[TIME_MAX])
{
	int64_t now_us = clock_wall_us();
	time_t seconds = (time_t)(now_us / US_PER_S);
	struct tm tm;
	size_t len;

	gmtime_r(&seconds, &tm);
	len = strftime(text, TIME_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + len, TIME_MAX - len, ".%03dZ", (int)(now_us % US_PER_S / 1000));
}

static void write_line(json_t *line)
{
	char *text = json_dumps(line, JSON_COMPACT | JSON_ENSURE_ASCII);
	size_t len = text ? strlen(text) : 0;

	if (!text)
		return;
	text[len] = '\n'; /* in the place of the NUL: one write, one line */
	if (write(STDERR_FILENO, text, len + 1) < 0)
		return; /* nobody is left to tell */
	free(text);
}

void journal(enum journal_level level, const char *event, const char *format, ...)
{
	char now[TIME_MAX];
	json_t *line, *values = NULL;
	va_list args;

	if (level > threshold)
		return;
	format_now(now);
	line = json_pack("{s:s s:s s:s}", "time", now, "level", levels[level], "event", event);
	if (format) {
		va_start(args, format);
		values = json_vpack_ex(NULL, 0, format, args);
		va_end(args);
	}
	if (values)
		json_object_update(line, values);
	else if (format)
		json_object_set_new(line, "unprintable", json_true());
	json_decref(values);
	write_line(line);
	json_decref(line);
}
