/* SPDX-License-Identifier: PostgreSQL */
/*
 * Whole text files in memory, line by line, with errors that name the place.
 * The files hold secrets, so their memory is wiped. No state, any thread.
 */
#include "auth/text_file.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include "base/mem.h"

static enum weir_err io_error(const char *path, const char *what, char *error)
{
	(void)snprintf(error, TEXT_FILE_ERROR_MAX, "%s: %s", path, what);
	return WEIR_ERR_IO;
}

static enum weir_err read_all(FILE *f, const char *path, struct slice *out, char *error)
{
	long size;
	char *text;
	size_t len;

	if (fseek(f, 0, SEEK_END) != 0 || (size = ftell(f)) < 0 || fseek(f, 0, SEEK_SET) != 0)
		return io_error(path, strerror(errno), error);
	if (size > TEXT_FILE_MAX_BYTES)
		return io_error(path, "the file is too large", error);
	text = mem_alloc((size_t)size + 1);
	len = fread(text, 1, (size_t)size, f);
	*out = slice_of(text, len);
	if (!ferror(f))
		return WEIR_OK;
	text_file_free(*out);
	return io_error(path, "can't be read", error);
}

enum weir_err text_file_read(const char *path, struct slice *out, char error[TEXT_FILE_ERROR_MAX])
{
	FILE *f = fopen(path, "re");
	enum weir_err err;

	if (!f)
		return io_error(path, strerror(errno), error);
	err = read_all(f, path, out, error);
	(void)fclose(f);
	return err;
}

void text_file_free(struct slice text)
{
	char *owned = (char *)(uintptr_t)text.ptr;

	mem_wipe(owned, text.len);
	mem_free(owned);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static bool begins_with_semicolon(struct slice s)
{
	while (s.len > 0 && is_blank(*s.ptr))
		s = slice_of(s.ptr + 1, s.len - 1);
	return s.len > 0 && *s.ptr == ';';
}

bool text_line_next(struct text_line *line, struct slice *text)
{
	const char *end;
	size_t len, taken;

	if (text->len == 0)
		return false;
	end = memchr(text->ptr, '\n', text->len);
	len = end ? (size_t)(end - text->ptr) : text->len;
	taken = len + (end != NULL);
	line->rest = slice_of(text->ptr, len);
	if (begins_with_semicolon(line->rest))
		line->rest = slice_of(text->ptr, 0);
	line->number++;
	*text = slice_of(text->ptr + taken, text->len - taken);
	return true;
}

bool text_line_has_more(struct text_line *line)
{
	struct slice *s = &line->rest;

	while (s->len > 0 && is_blank(*s->ptr))
		*s = slice_of(s->ptr + 1, s->len - 1);
	return s->len > 0 && *s->ptr != '#';
}

enum weir_err text_line_broken(const struct text_line *line, const char *fmt, ...)
{
	int n = snprintf(line->error, TEXT_FILE_ERROR_MAX, "%s:%u: ", line->path, line->number);
	va_list args;

	va_start(args, fmt);
	if (n >= 0 && n < TEXT_FILE_ERROR_MAX)
		(void)vsnprintf(line->error + n, TEXT_FILE_ERROR_MAX - (size_t)n, fmt, args);
	va_end(args);
	return WEIR_ERR_CONFIG;
}
