/* SPDX-License-Identifier: PostgreSQL */
/*
 * See slots.h. CLUSTER SLOTS is a list of
 *
 *     [first slot, last slot, [host, port, id, [key, value ...]], replica ...]
 *
 * which comes from a deep reader as one list of values, arrays in front of
 * what is in them. What a newer server adds is passed over.
 */
#include "cache/slots.h"

#include <string.h>

#include "base/mem.h"

enum { FIELDS_MAX = 64 }; /* in a range or a node, before it counts as hostile */

/* CRC-16/XMODEM, four bits at a time: 32 steps for a key's 16 bytes, no table to build. */
static uint16_t crc16(struct slice s)
{
	static const uint16_t table[16] = {
		0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6, 0x70e7,
		0x8108, 0x9129, 0xa14a, 0xb16b, 0xc18c, 0xd1ad, 0xe1ce, 0xf1ef,
	};
	uint16_t crc = 0;

	for (size_t i = 0; i < s.len; i++) {
		uint8_t byte = (uint8_t)s.ptr[i];

		crc = (uint16_t)(crc << 4) ^ table[(crc >> 12 ^ byte >> 4) & 15];
		crc = (uint16_t)(crc << 4) ^ table[(crc >> 12 ^ byte) & 15];
	}
	return crc;
}

uint16_t slots_of_key(struct slice key)
{
	const char *open = key.len ? memchr(key.ptr, '{', key.len) : NULL;
	const char *close;

	if (open) {
		size_t rest = (size_t)(key.ptr + key.len - open) - 1;

		close = rest ? memchr(open + 1, '}', rest) : NULL;
		if (close && close > open + 1)
			key = slice_of(open + 1, (size_t)(close - open) - 1);
	}
	return crc16(key) % SLOTS_COUNT;
}

static struct slots *slots_create(unsigned node_count)
{
	struct slots *s = mem_zalloc(sizeof *s + node_count * sizeof s->nodes[0]);

	atomic_init(&s->refs, 1);
	s->node_count = node_count;
	return s;
}

/* A text of a peer that may be a host: it fits, and has no NUL in it. */
static bool is_host(struct slice text)
{
	return text.len <= SLOTS_HOST_MAX && (text.len == 0 || !memchr(text.ptr, '\0', text.len));
}

static void copy_text(char *out, struct slice text)
{
	memcpy(out, text.ptr, text.len);
	out[text.len] = '\0';
}

struct slots *slots_single(struct slice host, uint16_t port)
{
	struct slots *s = slots_create(1);

	if (host.len > SLOTS_HOST_MAX)
		host.len = SLOTS_HOST_MAX;
	copy_text(s->nodes[0].host, host);
	s->nodes[0].port = port;
	return s;
}

struct slots *slots_get(struct slots *s)
{
	atomic_fetch_add(&s->refs, 1);
	return s;
}

void slots_put(struct slots **s)
{
	if (*s && atomic_fetch_sub(&(*s)->refs, 1) == 1)
		mem_free(*s);
	*s = NULL;
}

/* --- CLUSTER SLOTS ------------------------------------------------------------- */

struct walk {
	const struct redis_value *at, *end;
	struct slice asked;
	const char *why; /* NULL: all right so far */
};

static const struct redis_value *next(struct walk *w)
{
	if (w->at == w->end) {
		w->why = "cut short";
		return NULL;
	}
	return w->at++;
}

/* Passes over one value with all that is in it. */
static void skip(struct walk *w)
{
	for (int64_t left = 1; left > 0; left--) {
		const struct redis_value *v = next(w);

		if (!v)
			return;
		if (v->type == REDIS_TYPE_ARRAY)
			left += v->integer;
	}
}

static bool take_integer(struct walk *w, int64_t most, int64_t *out)
{
	const struct redis_value *v = next(w);

	if (!v || v->type != REDIS_TYPE_INTEGER || v->integer < 0 || v->integer > most) {
		w->why = "a number is none";
		return false;
	}
	*out = v->integer;
	return true;
}

static bool take_array(struct walk *w, int64_t least, int64_t *count)
{
	const struct redis_value *v = next(w);

	if (!v || v->type != REDIS_TYPE_ARRAY || v->integer < least || v->integer > FIELDS_MAX) {
		w->why = "a list is none";
		return false;
	}
	*count = v->integer;
	return true;
}

/* The list of keys and values behind a node's id: its host name, if it announces one. */
static void take_names(struct walk *w, struct slots_node *node)
{
	int64_t left;

	if (!take_array(w, 0, &left))
		return;
	for (; left >= 2 && !w->why; left -= 2) {
		const struct redis_value *key = next(w), *value = key ? w->at : NULL;

		if (key && value && value < w->end && key->type == REDIS_TYPE_STRING &&
		    slice_is(key->text, "hostname") && value->type == REDIS_TYPE_STRING &&
		    is_host(value->text))
			copy_text(node->name, value->text);
		skip(w);
	}
	if (left == 1)
		skip(w);
}

/* True: usable. "?" and the like are nodes whose address isn't known. */
static bool set_host(struct walk *w, const struct redis_value *host, struct slots_node *node)
{
	struct slice text = host->text;

	if (host->type == REDIS_TYPE_NIL || (host->type == REDIS_TYPE_STRING && text.len == 0))
		text = w->asked;
	else if (host->type != REDIS_TYPE_STRING)
		w->why = "a host is none";
	if (w->why || !is_host(text) || slice_is(text, "?"))
		return false;
	copy_text(node->host, text);
	return true;
}

/* [host, port, id, names]; false: no address, or w->why. */
static bool take_node(struct walk *w, struct slots_node *node)
{
	const struct redis_value *host;
	int64_t fields, port;
	bool is_usable;

	if (!take_array(w, 2, &fields))
		return false;
	host = next(w);
	if (!host || !take_integer(w, UINT16_MAX, &port))
		return false;
	*node = (struct slots_node){ .port = (uint16_t)port };
	is_usable = set_host(w, host, node) && port > 0;
	if (fields > 2)
		skip(w); /* the id */
	if (fields > 3 && w->at < w->end && w->at->type == REDIS_TYPE_ARRAY) {
		take_names(w, node);
		fields--;
	}
	for (; fields > 3 && !w->why; fields--)
		skip(w);
	return is_usable && !w->why;
}

unsigned slots_find(const struct slots *s, struct slice host, uint16_t port)
{
	for (unsigned i = 0; i < s->node_count; i++)
		if (s->nodes[i].port == port && slice_is(host, s->nodes[i].host))
			return i;
	return SLOTS_NONE;
}

/* The node's index, of a new one too. */
static unsigned add_node(struct walk *w, struct slots *s, const struct slots_node *node)
{
	unsigned i = slots_find(s, slice_str(node->host), node->port);

	if (i != SLOTS_NONE)
		return i;
	if (s->node_count == SLOTS_NODES_MAX) {
		w->why = "too many masters";
		return SLOTS_NONE;
	}
	memcpy(&s->nodes[s->node_count], node, sizeof *node);
	return s->node_count++;
}

static void take_range(struct walk *w, struct slots *s)
{
	struct slots_node node;
	int64_t fields, first, last;
	unsigned index = SLOTS_NONE;

	if (!take_array(w, 2, &fields) || !take_integer(w, SLOTS_COUNT - 1, &first) ||
	    !take_integer(w, SLOTS_COUNT - 1, &last))
		return;
	if (fields > 2 && take_node(w, &node))
		index = add_node(w, s, &node);
	for (; fields > 3 && !w->why; fields--)
		skip(w); /* replicas */
	for (int64_t slot = first; slot <= last && !w->why; slot++)
		s->owner[slot] = (uint8_t)index;
}

struct slots *slots_from_reply(const struct redis_reply *reply, struct slice asked,
                               const char **why)
{
	struct walk w = { reply->deep, reply->deep, asked, NULL };
	struct slots *s = slots_create(SLOTS_NODES_MAX);

	s->is_cluster = true;
	s->node_count = 0;
	memset(s->owner, SLOTS_NONE, sizeof s->owner);
	if (reply->value.type != REDIS_TYPE_ARRAY)
		w.why = "no list of slots";
	else if (reply->deep_count)
		w.end += reply->deep_count;
	while (!w.why && w.at < w.end)
		take_range(&w, s);
	if (!w.why && s->node_count == 0)
		w.why = "no slot is served";
	if (w.why) {
		*why = w.why;
		slots_put(&s);
		return NULL;
	}
	return mem_realloc(s, sizeof *s + s->node_count * sizeof s->nodes[0]);
}

unsigned slots_owner(const struct slots *s, uint16_t slot)
{
	return s->owner[slot];
}

static bool is_same_node(const struct slots_node *a, const struct slots_node *b)
{
	return a->port == b->port && strcmp(a->host, b->host) == 0 && strcmp(a->name, b->name) == 0;
}

bool slots_equal(const struct slots *a, const struct slots *b)
{
	if (a->node_count != b->node_count || a->is_cluster != b->is_cluster)
		return false;
	for (unsigned i = 0; i < a->node_count; i++)
		if (!is_same_node(&a->nodes[i], &b->nodes[i]))
			return false;
	return memcmp(a->owner, b->owner, sizeof a->owner) == 0;
}

bool slots_keeps_masters(const struct slots *before, const struct slots *after)
{
	for (unsigned i = 0; i < before->node_count; i++)
		if (slots_find(after, slice_str(before->nodes[i].host), before->nodes[i].port) ==
		    SLOTS_NONE)
			return false;
	return true;
}

/* --- redirections --------------------------------------------------------------- */

static bool take_number(struct slice *s, uint32_t most, uint16_t *out)
{
	uint32_t n = 0;
	size_t i = 0;

	for (; i < s->len && s->ptr[i] >= '0' && s->ptr[i] <= '9'; i++) {
		n = n * 10 + (uint32_t)(s->ptr[i] - '0');
		if (n > most)
			return false;
	}
	*out = (uint16_t)n;
	*s = slice_of(s->ptr + i, s->len - i);
	return i > 0;
}

/* "MOVED 3999 127.0.0.1:6381" or "ASK 3999 :6381"; IPv6 hosts stand there without brackets. */
bool redirect_parse(struct slice e, struct redirect *out)
{
	const char *colon;

	if (e.len > 6 && memcmp(e.ptr, "MOVED ", 6) == 0)
		e = slice_of(e.ptr + 6, e.len - 6);
	else if (e.len > 4 && memcmp(e.ptr, "ASK ", 4) == 0)
		e = slice_of(e.ptr + 4, e.len - 4);
	else
		return false;
	out->is_ask = e.ptr[-2] == 'K';
	if (!take_number(&e, SLOTS_COUNT - 1, &out->slot) || e.len < 2 || e.ptr[0] != ' ')
		return false;
	e = slice_of(e.ptr + 1, e.len - 1);
	colon = memrchr(e.ptr, ':', e.len);
	if (!colon)
		return false;
	out->host = slice_of(e.ptr, (size_t)(colon - e.ptr));
	if (!is_host(out->host))
		return false;
	e = slice_of(colon + 1, (size_t)(e.ptr + e.len - colon) - 1);
	return take_number(&e, UINT16_MAX, &out->port) && e.len == 0 && out->port > 0;
}
