/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a Redis may send: replies of any bytes, cut at places that the input
 * chooses, give the same values as in one piece, to a deep reader too; a map of
 * slots, a greeting and a redirection are whole or refused; and messages on the
 * invalidation channel are understood as what they encode, or not at all.
 */
#include "base/assert.h"
#include "base/buf.h"
#include "base/hash.h"
#include "cache/change.h"
#include "cache/greet.h"
#include "cache/redis.h"
#include "cache/slots.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { REPLY_MAX = 4096, ENCODED_MAX = 1 << 20 };

struct summary {
	uint64_t hash;
	unsigned replies;
};

static void add_value(struct summary *s, const struct redis_value *v)
{
	s->hash = hash_combine(s->hash, (uint64_t)v->type);
	s->hash = hash_combine(s->hash, (uint64_t)v->integer);
	s->hash = hash_combine(s->hash, hash_bytes(v->text.ptr, v->text.len));
}

static enum weir_err read_all(struct redis_reader *r, struct summary *s)
{
	const struct redis_reply *reply;
	enum weir_err err;

	while ((err = redis_reader_next(r, &reply)) == WEIR_OK) {
		WEIR_ASSERT(reply->count <= REDIS_ELEMENTS_MAX);
		s->replies++;
		add_value(s, &reply->value);
		for (unsigned i = 0; i < reply->count; i++)
			add_value(s, &reply->elements[i]);
	}
	return err;
}

static enum weir_err feed(struct slice bytes, size_t step, struct summary *s)
{
	struct redis_reader *r = redis_reader_create(REPLY_MAX);
	enum weir_err err = WEIR_ERR_AGAIN;

	*s = (struct summary){ 0 };
	for (size_t at = 0; at < bytes.len && err == WEIR_ERR_AGAIN; at += step) {
		size_t n = bytes.len - at < step ? bytes.len - at : step;

		err = redis_reader_feed(r, slice_of(bytes.ptr + at, n));
		if (err == WEIR_OK)
			err = read_all(r, s);
	}
	redis_reader_destroy(r);
	return err;
}

static void check_replies(struct slice bytes)
{
	struct summary whole, cut;
	size_t step = bytes.len ? (uint8_t)bytes.ptr[0] % 16 + 1 : 1;
	enum weir_err a = feed(bytes, bytes.len ? bytes.len : 1, &whole);
	enum weir_err b = feed(bytes, step, &cut);

	WEIR_ASSERT(a == b && whole.replies == cut.replies && whole.hash == cut.hash);
}

/* Every slot's owner is a node with an address, or nobody. */
static void check_map(const struct redis_reply *reply)
{
	const char *why = NULL;
	struct slots *s = slots_from_reply(reply, slice_str("asked"), &why);

	WEIR_ASSERT((s == NULL) == (why != NULL));
	for (unsigned i = 0; s && i < SLOTS_COUNT; i++) {
		unsigned owner = slots_owner(s, (uint16_t)i);

		WEIR_ASSERT(owner == SLOTS_NONE || (owner < s->node_count && s->nodes[owner].host[0] &&
		                                    s->nodes[owner].port > 0));
	}
	slots_put(&s);
}

static void check_deep(struct slice bytes)
{
	struct redis_reader *r = redis_reader_create_deep(REPLY_MAX);
	const struct redis_reply *reply;
	enum weir_err err = redis_reader_feed(r, bytes);

	while (err == WEIR_OK && (err = redis_reader_next(r, &reply)) == WEIR_OK) {
		WEIR_ASSERT(reply->deep_count <= REDIS_DEEP_MAX);
		check_map(reply);
	}
	redis_reader_destroy(r);
}

/* A server that greets with these replies, to a link for commands or to one that is subscribed. */
static void check_greeting(struct slice bytes, const char *channel)
{
	const struct greet_options o = { .password = "secret", .channel = channel };
	struct redis_reader *r = redis_reader_create(REPLY_MAX);
	enum weir_err err = redis_reader_feed(r, bytes);
	enum greet_verdict verdict = GREET_MORE;
	const struct redis_reply *reply;
	struct greet g;
	struct buf out;

	buf_init(&out, ENCODED_MAX);
	greet_begin(&g, &o, &out);
	while (verdict == GREET_MORE && err == WEIR_OK &&
	       (err = redis_reader_next(r, &reply)) == WEIR_OK) {
		verdict = greet_take(&g, reply);
		WEIR_ASSERT((verdict == GREET_REFUSED) == (g.why != NULL));
	}
	if (verdict == GREET_DONE && err == WEIR_OK && redis_reader_next(r, &reply) == WEIR_OK)
		WEIR_ASSERT(!greet_is_same(&g, &reply->value) || !g.is_replica);
	WEIR_ASSERT(strlen(g.run_id) <= GREET_ID_LEN && strlen(g.replid) <= GREET_ID_LEN);
	redis_reader_destroy(r);
	buf_fini(&out);
}

static void check_texts(struct slice bytes)
{
	struct redirect to;
	struct slice value;

	WEIR_ASSERT(slots_of_key(bytes) < SLOTS_COUNT);
	if (redirect_parse(bytes, &to))
		WEIR_ASSERT(to.slot < SLOTS_COUNT && to.port > 0 && to.host.len <= SLOTS_HOST_MAX);
	if (greet_info_find(bytes, "role", &value))
		WEIR_ASSERT(value.ptr + value.len <= bytes.ptr + bytes.len);
}

static void check_change(struct slice bytes)
{
	struct change_message m;
	struct buf again;

	if (!change_decode(bytes, &m))
		return;
	buf_init(&again, ENCODED_MAX);
	change_encode(&m, &again);
	WEIR_ASSERT(slice_equal(buf_slice(&again), bytes));
	buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_replies(slice_of(data, size));
	check_deep(slice_of(data, size));
	check_greeting(slice_of(data, size), NULL);
	check_greeting(slice_of(data, size), "p:i");
	check_texts(slice_of(data, size));
	check_change(slice_of(data, size));
	return 0;
}
