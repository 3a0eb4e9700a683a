/* SPDX-License-Identifier: PostgreSQL */
/*
 * See secret_file.h. The pairing is by name alone, so a new secret gets its
 * file by one row of options.def.
 */
#include "config/secret_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { SECRET_BYTES_MAX = 4096 };

static const char suffix[] = "_file";

/* The SECRET option that `o` names a file for; NULL: it doesn't. */
static const struct option *secret_of(enum option_scope scope, const struct option *o)
{
	size_t len = strlen(o->name), tail = sizeof(suffix) - 1;
	const struct option *secret;

	if (len <= tail || strcmp(o->name + len - tail, suffix) != 0)
		return NULL;
	secret = option_find(scope, slice_of(o->name, len - tail));
	return secret && secret->kind == OPTION_SECRET ? secret : NULL;
}

/* The first line, without its end; 0 or errno. Longer than the limit: EFBIG. */
static int read_line(const char *path, char *out, size_t *len)
{
	FILE *f = fopen(path, "re");
	int err = 0;

	if (!f)
		return errno;
	*len = fread(out, 1, SECRET_BYTES_MAX + 1, f);
	if (ferror(f))
		err = errno ? errno : EIO;
	else if (*len > SECRET_BYTES_MAX)
		err = EFBIG;
	fclose(f);
	for (size_t i = 0; i < *len; i++)
		if (out[i] == '\n' || out[i] == '\r' || out[i] == '\0')
			*len = i;
	return err;
}

bool secret_file_apply(enum option_scope scope, const struct option *o, void *base,
                       struct arena *arena, char *why, size_t why_size)
{
	const struct option *secret = secret_of(scope, o);
	char text[SECRET_BYTES_MAX + 1];
	const char *path, *value;
	size_t len = 0;
	int err;

	if (!secret)
		return true;
	memcpy(&path, (const char *)base + o->offset, sizeof(path));
	if (!path[0])
		return true;
	err = read_line(path, text, &len);
	if (!err && len > 0) {
		value = arena_strdup(arena, slice_of(text, len));
		memcpy((char *)base + secret->offset, &value, sizeof(value));
	}
	explicit_bzero(text, sizeof(text));
	if (err)
		snprintf(why, why_size, "%s: %s", path, strerror(err));
	else if (len == 0)
		snprintf(why, why_size, "%s: the file's first line is empty", path);
	return !err && len > 0;
}
