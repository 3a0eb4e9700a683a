/* SPDX-License-Identifier: PostgreSQL */
/*
 * Whatever bytes a peer puts into a value, a log line stays one line, ends with
 * one newline and holds no control character.
 */
#include "base/assert.h"
#include "base/log_line.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

__attribute__((format(printf, 2, 3))) static void add(struct log_line *line, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	log_line_vformat(line, fmt, args);
	va_end(args);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct log_line line;
	int len = (int)(size < 8192 ? size : 8192);

	log_line_init(&line);
	add(&line, "a=%.*s b=\"%.*s\" %.*s", len, (const char *)data, len, (const char *)data, len,
	    (const char *)data);
	log_line_end(&line);
	WEIR_ASSERT(line.len < LOG_LINE_MAX && strlen(line.text) == line.len);
	WEIR_ASSERT(strchr(line.text, '\n') == line.text + line.len - 1);
	for (size_t i = 0; i + 1 < line.len; i++)
		WEIR_ASSERT((unsigned char)line.text[i] >= 0x20 && line.text[i] != 0x7f);
	return 0;
}
