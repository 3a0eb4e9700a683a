/* SPDX-License-Identifier: PostgreSQL */
/*
 * Reader of userlist.txt and the table it becomes. The file is the operator's
 * but may be broken: every error names file and line, never a secret. A list
 * is built by one thread and read-only from then on.
 */
#include "auth/userlist.h"

#include "auth/text_file.h"
#include "base/buf.h"
#include "base/hash.h"
#include "base/map.h"
#include "base/mem.h"

_Static_assert((int)USERLIST_ERROR_MAX == (int)TEXT_FILE_ERROR_MAX, "one size of error texts");

struct entry {
	struct map_node node;
	struct slice user; /* both in text */
	struct slice secret;
	size_t size;                   /* of this allocation */
	struct scram_secret *prepared; /* owned; NULL: none */
	char text[];
};

struct userlist {
	struct map entries; /* struct entry, owned */
	struct shape_census shapes;
	size_t plain_count;
	bool is_prepared;
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
	shape_census_remove(&list->shapes, secret_shape_of(e->secret));
	list->plain_count -= secret_classify(e->secret) == SECRET_PLAIN;
	map_remove(&list->entries, &e->node);
	if (e->prepared)
		mem_wipe(e->prepared, sizeof(*e->prepared));
	mem_free(e->prepared);
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
	shape_census_add(&list->shapes, secret_shape_of(e->secret));
	list->plain_count += secret_classify(e->secret) == SECRET_PLAIN;
	map_insert(&list->entries, &e->node, hash_bytes(e->user.ptr, e->user.len));
}

/* A quoted text into out, "" standing for one quote. */
static enum weir_err read_quoted(struct text_line *line, const char *what, struct buf *out)
{
	struct slice *s = &line->rest;

	buf_clear(out);
	if (!text_line_has_more(line) || *s->ptr != '"')
		return text_line_broken(line, "%s in double quotes expected", what);
	for (*s = slice_of(s->ptr + 1, s->len - 1); s->len > 0; *s = slice_of(s->ptr + 1, s->len - 1)) {
		if (*s->ptr == '"') {
			*s = slice_of(s->ptr + 1, s->len - 1);
			if (s->len == 0 || *s->ptr != '"')
				return WEIR_OK;
		}
		buf_append_u8(out, (uint8_t)*s->ptr);
		if (out->err != WEIR_OK)
			return text_line_broken(line, "%s is longer than %zu bytes", what, out->max);
	}
	return text_line_broken(line, "%s has no closing quote", what);
}

/* What stands between the two is of no interest, a colon or a comma say; to PgBouncer neither. */
static void skip_to_quote(struct slice *s)
{
	const char *quote = s->len ? memchr(s->ptr, '"', s->len) : NULL;

	if (quote)
		*s = slice_of(quote, s->len - (size_t)(quote - s->ptr));
}

/* As PostgreSQL cuts it, and we the client's. */
static struct slice cut_name(struct slice name)
{
	return slice_of(name.ptr, name.len < USERLIST_NAME_MAX ? name.len : USERLIST_NAME_MAX);
}

static enum weir_err read_line(struct userlist *list, struct text_line *line, struct buf *user,
                               struct buf *secret)
{
	enum weir_err err;

	if (!text_line_has_more(line))
		return WEIR_OK;
	err = read_quoted(line, "user name", user);
	if (err != WEIR_OK)
		return err;
	skip_to_quote(&line->rest);
	err = read_quoted(line, "secret", secret);
	if (err == WEIR_OK && user->len > 0) /* nobody comes without a name */
		add(list, cut_name(buf_slice(user)), buf_slice(secret));
	return err;
}

static enum weir_err read_lines(struct userlist *list, struct slice text, struct text_line *line)
{
	struct buf user, secret;
	enum weir_err err = WEIR_OK;

	buf_init(&user, USERLIST_SECRET_MAX);
	buf_init(&secret, USERLIST_SECRET_MAX);
	while (err == WEIR_OK && text_line_next(line, &text))
		err = read_line(list, line, &user, &secret);
	if (secret.data)
		mem_wipe(secret.data, secret.cap);
	buf_fini(&secret);
	buf_fini(&user);
	return err;
}

enum weir_err userlist_parse(struct slice text, const char *path, struct userlist **out,
                             char error[USERLIST_ERROR_MAX])
{
	struct userlist *list = mem_zalloc(sizeof(*list));
	struct text_line line = { .path = path, .error = error };
	enum weir_err err;

	map_init(&list->entries, entry_equal);
	err = read_lines(list, text, &line);
	if (err == WEIR_OK)
		*out = list;
	else
		userlist_destroy(list);
	return err;
}

enum weir_err userlist_load(const char *path, struct userlist **out, char error[USERLIST_ERROR_MAX])
{
	struct slice text;
	enum weir_err err = text_file_read(path, &text, error);

	if (err != WEIR_OK)
		return err;
	err = userlist_parse(text, path, out, error);
	text_file_free(text);
	return err;
}

void userlist_destroy(struct userlist *list)
{
	struct map_node *node, *next;

	if (!list)
		return;
	for (node = map_next(&list->entries, NULL); node; node = next) {
		next = map_next(&list->entries, node);
		entry_destroy(list, map_entry(node, struct entry, node));
	}
	map_fini(&list->entries);
	mem_free(list);
}

void userlist_each(const struct userlist *list, userlist_name_fn *each, void *ctx)
{
	if (!list)
		return;
	map_foreach(&list->entries, n)
		each(ctx, map_entry(n, const struct entry, node)->user);
}

enum weir_err userlist_find(const struct userlist *list, struct slice user, struct slice *secret)
{
	const struct entry *e = list ? find(list, user) : NULL;

	if (!e)
		return WEIR_ERR_NOT_FOUND;
	*secret = e->secret;
	return WEIR_OK;
}

struct secret_shape userlist_pick_shape(const struct userlist *list, uint64_t number)
{
	return list ? shape_census_pick(&list->shapes, number) : (struct secret_shape){ 0 };
}

/* What the previous list had for the same user, secret and cost; NULL: nothing. */
static const struct scram_secret *still_valid(const struct userlist *previous,
                                              const struct entry *e, unsigned iterations)
{
	const struct entry *old = previous ? find(previous, e->user) : NULL;

	if (!old || !old->prepared || old->prepared->iterations != iterations)
		return NULL;
	return crypto_equal(old->secret, e->secret) ? old->prepared : NULL;
}

static void prepare(struct entry *e, const struct userlist *previous,
                    const struct login_salt_key *key, unsigned iterations)
{
	const struct scram_secret *old = still_valid(previous, e, iterations);
	struct scram_secret made;

	if (old)
		made = *old;
	else if (login_scram_secret(&made, e->user, e->secret, key, iterations) != WEIR_OK)
		return;
	e->prepared = mem_alloc(sizeof(*e->prepared));
	*e->prepared = made;
	mem_wipe(&made, sizeof(made));
}

void userlist_prepare(struct userlist *list, const struct userlist *previous,
                      const struct login_salt_key *key, unsigned iterations)
{
	if (list->plain_count > USERLIST_PREPARE_MAX)
		return;
	for (struct map_node *n = NULL; (n = map_next(&list->entries, n)) != NULL;) {
		struct entry *e = map_entry(n, struct entry, node);

		if (!e->prepared && secret_classify(e->secret) == SECRET_PLAIN)
			prepare(e, previous, key, iterations);
	}
	list->is_prepared = true;
}

bool userlist_is_prepared(const struct userlist *list)
{
	return list && list->is_prepared;
}

const struct scram_secret *userlist_prepared(const struct userlist *list, struct slice user)
{
	const struct entry *e = list ? find(list, user) : NULL;

	return e ? e->prepared : NULL;
}
