/* SPDX-License-Identifier: PostgreSQL */
/*
 * Reader of userlist.txt and the table it becomes. The file is the operator's
 * but may be broken: every error names file and line, never a secret. A list
 * is built by one thread and read-only from then on.
 */
#include "auth/userlist.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/hash.h"
#include "base/map.h"
#include "base/mem.h"

enum { FILE_MAX_BYTES = 64 * 1024 * 1024, KINDS = SECRET_SCRAM + 1 };

struct entry {
	struct map_node node;
	struct slice user;   /* both in text */
	struct slice secret;
	size_t size; /* of this allocation */
	char text[];
};

struct userlist {
	struct map entries; /* struct entry, owned */
	size_t kinds[KINDS];
};

static bool entry_equal(const struct map_node *node, const void *key)
{
	return slice_equal(map_entry(node, const struct entry, node)->user, *(const struct slice *)key);
}

static struct entry *find(const struct userlist *list, struct slice user)
{
	struct map_node *node = map_find(&list->entries, hash_bytes(user.ptr, user.len), &user);

	return node ? map_entry(node, struct entry, node) : NULL;
}

static void entry_destroy(struct userlist *list, struct entry *e)
{
	list->kinds[secret_classify(e->secret)]--;
	map_remove(&list->entries, &e->node);
	mem_wipe(e, e->size);
	mem_free(e);
}

/* Replaces what an earlier line said of the same user. */
static void add(struct userlist *list, struct slice user, struct slice secret)
{
	const size_t size = sizeof(struct entry) + user.len + secret.len;
	struct entry *e = find(list, user);

	if (e)
		entry_destroy(list, e);
	e = mem_zalloc(size);
	e->size = size;
	memcpy(e->text, user.ptr, user.len);
	memcpy(e->text + user.len, secret.ptr, secret.len);
	e->user = slice_of(e->text, user.len);
	e->secret = slice_of(e->text + user.len, secret.len);
	list->kinds[secret_classify(e->secret)]++;
	map_insert(&list->entries, &e->node, hash_bytes(e->user.ptr, e->user.len));
}

struct cursor {
	const char *pos, *end; /* of one line */
	const char *path;
	unsigned line;
	char *error;
};

static enum weir_err __attribute__((format(printf, 2, 3)))
broken(const struct cursor *c, const char *fmt, ...)
{
	int n = snprintf(c->error, USERLIST_ERROR_MAX, "%s:%u: ", c->path, c->line);
	va_list args;

	va_start(args, fmt);
	if (n >= 0 && n < USERLIST_ERROR_MAX)
		(void)vsnprintf(c->error + n, USERLIST_ERROR_MAX - (size_t)n, fmt, args);
	va_end(args);
	return WEIR_ERR_CONFIG;
}

static void skip_blanks(struct cursor *c)
{
	while (c->pos < c->end && (*c->pos == ' ' || *c->pos == '\t' || *c->pos == '\r'))
		c->pos++;
}

/* A quoted text into out, "" standing for one quote. */
static enum weir_err read_quoted(struct cursor *c, const char *what, char *out, size_t max,
				 size_t *len)
{
	skip_blanks(c);
	if (c->pos == c->end || *c->pos != '"')
		return broken(c, "%s in double quotes expected", what);
	for (*len = 0, c->pos++; c->pos < c->end; c->pos++) {
		if (*c->pos == '"') {
			c->pos++;
			if (c->pos == c->end || *c->pos != '"')
				return WEIR_OK;
		}
		if (*len == max)
			return broken(c, "%s is longer than %zu bytes", what, max);
		out[(*len)++] = *c->pos;
	}
	return broken(c, "%s has no closing quote", what);
}

static enum weir_err read_line(struct userlist *list, struct cursor *c)
{
	char user[USERLIST_NAME_MAX];
	char secret[USERLIST_SECRET_MAX];
	size_t user_len, secret_len;
	enum weir_err err;

	skip_blanks(c);
	if (c->pos == c->end || *c->pos == ';' || *c->pos == '#')
		return WEIR_OK;
	err = read_quoted(c, "user name", user, sizeof(user), &user_len);
	if (err == WEIR_OK && user_len == 0)
		err = broken(c, "the user name is empty");
	if (err == WEIR_OK)
		err = read_quoted(c, "secret", secret, sizeof(secret), &secret_len);
	if (err == WEIR_OK)
		add(list, slice_of(user, user_len), slice_of(secret, secret_len));
	mem_wipe(secret, sizeof(secret));
	return err;
}

enum weir_err userlist_parse(struct slice text, const char *path, struct userlist **out,
			     char error[USERLIST_ERROR_MAX])
{
	struct userlist *list = mem_zalloc(sizeof(*list));
	struct cursor c = { .path = path, .error = error };
	enum weir_err err = WEIR_OK;

	map_init(&list->entries, entry_equal);
	while (text.len > 0 && err == WEIR_OK) {
		const char *end = memchr(text.ptr, '\n', text.len);
		const size_t len = end ? (size_t)(end - text.ptr) : text.len;

		c.line++;
		c.pos = text.ptr;
		c.end = text.ptr + len;
		err = read_line(list, &c);
		text = slice_of(text.ptr + len + (end != NULL), text.len - len - (end != NULL));
	}
	if (err != WEIR_OK) {
		userlist_destroy(list);
		return err;
	}
	*out = list;
	return WEIR_OK;
}

static enum weir_err io_error(const char *path, const char *what, char *error)
{
	(void)snprintf(error, USERLIST_ERROR_MAX, "%s: %s", path, what);
	return WEIR_ERR_IO;
}

/* The whole file in memory of its own; *out is owned by the caller. */
static enum weir_err read_file(FILE *f, const char *path, char **out, size_t *len, char *error)
{
	long size;

	if (fseek(f, 0, SEEK_END) != 0 || (size = ftell(f)) < 0 || fseek(f, 0, SEEK_SET) != 0)
		return io_error(path, strerror(errno), error);
	if (size > FILE_MAX_BYTES)
		return io_error(path, "the file is too large", error);
	*out = mem_alloc((size_t)size + 1);
	*len = fread(*out, 1, (size_t)size, f);
	if (ferror(f)) {
		mem_free(*out);
		return io_error(path, "can't be read", error);
	}
	return WEIR_OK;
}

enum weir_err userlist_load(const char *path, struct userlist **out, char error[USERLIST_ERROR_MAX])
{
	FILE *f = fopen(path, "re");
	char *text;
	size_t len;
	enum weir_err err;

	if (!f)
		return io_error(path, strerror(errno), error);
	err = read_file(f, path, &text, &len, error);
	(void)fclose(f);
	if (err != WEIR_OK)
		return err;
	err = userlist_parse(slice_of(text, len), path, out, error);
	mem_wipe(text, len);
	mem_free(text);
	return err;
}

void userlist_destroy(struct userlist *list)
{
	struct map_node *node;

	if (!list)
		return;
	while ((node = map_next(&list->entries, NULL)) != NULL)
		entry_destroy(list, map_entry(node, struct entry, node));
	map_fini(&list->entries);
	mem_free(list);
}

size_t userlist_count(const struct userlist *list)
{
	return list->entries.count;
}

enum weir_err userlist_find(const struct userlist *list, struct slice user, struct slice *secret)
{
	const struct entry *e = list ? find(list, user) : NULL;

	if (!e)
		return WEIR_ERR_NOT_FOUND;
	*secret = e->secret;
	return WEIR_OK;
}

enum secret_kind userlist_common_kind(const struct userlist *list)
{
	enum secret_kind best = SECRET_SCRAM;

	for (int kind = SECRET_PLAIN; list && kind < KINDS; kind++) {
		if (list->kinds[kind] > list->kinds[best])
			best = (enum secret_kind)kind;
	}
	return best;
}
