/* SPDX-License-Identifier: PostgreSQL */
/*
 * A reader of the JSON that libpg_query prints. The text is trusted to come
 * from the library but not to be shallow, so the reader doesn't recurse: while
 * a container is open, its `next` points to the one around it. It gives up past
 * TREE_DEPTH_MAX. Strings are unescaped in place and end with a NUL.
 */
#include "sql/tree.h"

#include <stdint.h>
#include <string.h>

struct reader {
	struct arena *arena; /* borrowed */
	char *at;
	struct tree_node *open;  /* the innermost container around `at` */
	struct tree_node **tail; /* where its next node is linked */
	size_t depth;
	struct tree_node *root;
};

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The library writes \u for single bytes below 128 only. */
static int unescape_unicode(const char *p)
{
	int v = 0;

	for (int i = 0; i < 4; i++) {
		int d = hex_digit(p[i]);

		if (d < 0)
			return -1;
		v = v * 16 + d;
	}
	return v < 128 ? v : -1;
}

static int unescape_letter(char c)
{
	switch (c) {
	case 'b':
		return '\b';
	case 'f':
		return '\f';
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	case '"':
	case '\\':
	case '/':
		return c;
	default:
		return -1;
	}
}

/* r->at is after the opening quote. NULL: malformed. */
static char *read_string(struct reader *r)
{
	char *start = r->at, *out = r->at;

	while (*r->at != '"') {
		int c = (unsigned char)*r->at++;

		if (c == '\0')
			return NULL;
		if (c == '\\') {
			if (*r->at == 'u') {
				c = unescape_unicode(r->at + 1);
				r->at += c < 0 ? 0 : 5;
			} else {
				c = unescape_letter(*r->at++);
			}
			if (c < 0)
				return NULL;
		}
		*out++ = (char)c;
	}
	r->at++;
	*out = '\0';
	return start;
}

static struct tree_node *add_node(struct reader *r, const char *key, enum tree_kind kind)
{
	struct tree_node *n = arena_zalloc(r->arena, sizeof(*n));

	n->key = key;
	n->kind = kind;
	n->text = "";
	*r->tail = n;
	r->tail = &n->next;
	return n;
}

static bool open_container(struct reader *r, const char *key, enum tree_kind kind)
{
	struct tree_node *n;

	if (r->depth >= TREE_DEPTH_MAX)
		return false;
	n = add_node(r, key, kind);
	n->next = r->open;
	r->open = n;
	r->tail = &n->child;
	r->depth++;
	r->at++;
	return true;
}

static void close_container(struct reader *r)
{
	struct tree_node *n = r->open;

	r->open = n->next;
	n->next = NULL;
	r->tail = &n->next;
	r->depth--;
	r->at++;
}

static bool read_word(struct reader *r, const char *key)
{
	static const struct {
		const char *word;
		enum tree_kind kind;
	} words[] = {
		{ "true", TREE_TRUE },
		{ "false", TREE_FALSE },
		{ "null", TREE_NULL },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t len = strlen(words[i].word);

		if (strncmp(r->at, words[i].word, len) == 0) {
			add_node(r, key, words[i].kind);
			r->at += len;
			return true;
		}
	}
	return false;
}

/* -1, which the library writes for "unknown", and nonsense read as 0. */
static int32_t read_location(const char *p)
{
	int32_t n = 0;

	for (; *p >= '0' && *p <= '9' && n < 100000000; p++)
		n = n * 10 + (*p - '0');
	return n;
}

/* Moves the digits one place back, over the colon or comma before them, to have room for a NUL. */
static bool read_number(struct reader *r, const char *key)
{
	size_t len = strspn(r->at, "+-.0123456789eE");
	struct tree_node *n;

	if (len == 0)
		return read_word(r, key);
	if (key && strcmp(key, "location") == 0) {
		r->open->location = read_location(r->at);
	} else {
		n = add_node(r, key, TREE_NUMBER);
		memmove(r->at - 1, r->at, len);
		r->at[len - 1] = '\0';
		n->text = r->at - 1;
	}
	r->at += len;
	return true;
}

static bool read_value(struct reader *r, const char *key)
{
	struct tree_node *n;
	char *text;

	switch (*r->at) {
	case '{':
		return open_container(r, key, TREE_OBJECT);
	case '[':
		return open_container(r, key, TREE_ARRAY);
	case '"':
		r->at++;
		text = read_string(r);
		if (!text)
			return false;
		n = add_node(r, key, TREE_STRING);
		n->text = text;
		return true;
	default:
		return read_number(r, key);
	}
}

static bool read_member(struct reader *r)
{
	const char *key = NULL;

	if (r->open->kind == TREE_OBJECT) {
		if (*r->at++ != '"')
			return false;
		key = read_string(r);
		if (!key || *r->at++ != ':')
			return false;
	}
	return read_value(r, key);
}

/* One step inside the innermost container: its end, a comma, or a member. */
static bool step(struct reader *r)
{
	char close = r->open->kind == TREE_OBJECT ? '}' : ']';

	if (*r->at == close) {
		close_container(r);
		return true;
	}
	if (*r->at == ',') {
		r->at++;
		return true;
	}
	return read_member(r);
}

struct tree_node *tree_read(struct arena *arena, char *json)
{
	struct reader r = { .arena = arena, .at = json };

	r.tail = &r.root;
	if (*json != '{' || !open_container(&r, NULL, TREE_OBJECT))
		return NULL;
	while (r.depth > 0)
		if (!step(&r))
			return NULL;
	return r.root;
}

const struct tree_node *tree_member(const struct tree_node *object, const char *key)
{
	if (!object || object->kind != TREE_OBJECT)
		return NULL;
	for (const struct tree_node *n = object->child; n; n = n->next)
		if (strcmp(n->key, key) == 0)
			return n;
	return NULL;
}

const char *tree_text(const struct tree_node *object, const char *key)
{
	const struct tree_node *n = tree_member(object, key);

	return n && (n->kind == TREE_STRING || n->kind == TREE_NUMBER) ? n->text : NULL;
}

bool tree_flag(const struct tree_node *object, const char *key)
{
	const struct tree_node *n = tree_member(object, key);

	return n && n->kind == TREE_TRUE;
}

const char *tree_string_node(const struct tree_node *node)
{
	return tree_text(tree_member(node, "String"), "sval");
}
