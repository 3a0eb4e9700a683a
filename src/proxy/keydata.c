/* SPDX-License-Identifier: PostgreSQL */
/*
 * A server lists the clients that were told its process id, so that either side
 * can go first. Keys are looked up by a hash of both parts; secrets are compared
 * in constant time. The worker's thread.
 */
#include "proxy/keydata.h"

#include <string.h>

#include "auth/crypto.h"
#include "base/hash.h"
#include "base/mem.h"
#include "pool/ledger.h"
#include "proxy/backend.h"
#include "proxy/client.h"
#include "proxy/proxy.h"

enum { KEYDATA_DEPTH = 256 }; /* servers of a state looked at */

struct key {
	uint32_t pid;
	struct slice secret;
};

static uint64_t key_hash(const struct key *k)
{
	return hash_combine(k->pid, hash_bytes(k->secret.ptr, k->secret.len));
}

struct slice keydata_secret(const struct client *c)
{
	const uint8_t *secret = c->secret_len > CANCEL_SECRET_SHORT ? c->long_secret :
								      c->short_secret;

	return slice_of((const char *)secret, c->secret_len);
}

bool keydata_equal(const struct map_node *node, const void *key)
{
	const struct client *c = map_entry(node, struct client, by_key);
	const struct key *k = key;

	return c->told_pid == k->pid &&
	       crypto_equal(k->secret, keydata_secret(c));
}

struct client *keydata_find(const struct proxy *p, uint32_t pid, struct slice secret)
{
	struct key key = { pid, secret };
	struct map_node *node = map_find(&p->clients_by_key, key_hash(&key), &key);

	return node ? map_entry(node, struct client, by_key) : NULL;
}

static void tell(struct client *c, struct server *s)
{
	WEIR_ASSERT(c->told == NULL && s->state != SERVER_CLOSED && s->state != SERVER_MOVING);
	c->told = s;
	list_append(&s->told, &c->told_node);
}

/* The one that fewest clients were told of; idle ones first. */
static struct server *least_told(const struct pool *pool)
{
	static const enum server_state states[] = { SERVER_IDLE, SERVER_ACTIVE, SERVER_TESTED,
						    SERVER_CANCELED, SERVER_KEPT };
	struct server *best = NULL;

	for (size_t i = 0; i < WEIR_COUNTOF(states); i++) {
		int depth = 0;

		list_foreach(&pool->by_state[states[i]], n) {
			struct server *s = list_entry(n, struct server, node);

			if (s->is_replication)
				continue;
			if (!best || s->told.count < best->told.count)
				best = s;
			if (!best->told.count || ++depth == KEYDATA_DEPTH)
				break;
		}
	}
	return best;
}

/* One that is being reset may come too late for the first request, which would take another. */
static bool is_to_have(const struct server *s)
{
	return s && !s->told.count && s->state == SERVER_IDLE;
}

bool keydata_choose(struct client *c, struct pool *pool, bool may_open)
{
	struct server *s = least_told(pool);

	if (!is_to_have(s) && may_open && !ledger_has_waiters(pool->ledger) &&
	    ledger_reserve(pool->ledger)) {
		c->awaited = backend_open(pool);
		if (c->awaited) {
			c->awaited->awaited_by = c;
			return false;
		}
		s = least_told(pool); /* it failed at once */
	}
	if (s)
		tell(c, s);
	return true;
}

uint32_t keydata_publish(struct client *c)
{
	bool is_long = c->secret_len > CANCEL_SECRET_SHORT;
	uint8_t *secret = is_long ? mem_alloc(c->secret_len) : c->short_secret;
	struct key key = { .secret = slice_of((const char *)secret, c->secret_len) };

	key.pid = c->told ? c->told->pid : (uint32_t)c->id;
	do
		crypto_random(secret, c->secret_len);
	while (keydata_find(c->proxy, key.pid, key.secret));
	if (is_long)
		c->long_secret = secret;
	c->told_pid = key.pid;
	c->has_key = true;
	map_insert(&c->proxy->clients_by_key, &c->by_key, key_hash(&key));
	return key.pid;
}

bool keydata_is_idle(const struct client *c)
{
	return c->told && c->told->state == SERVER_IDLE;
}

struct server *keydata_take(const struct client *c, struct pool *pool)
{
	if (!keydata_is_idle(c) || c->told->pool != pool)
		return NULL;
	server_set_state(c->told, SERVER_ACTIVE);
	return c->told;
}

struct client *keydata_opened(struct server *s)
{
	struct client *c = s->awaited_by;

	if (!c)
		return NULL;
	s->awaited_by = NULL;
	c->awaited = NULL;
	tell(c, s);
	return c;
}

struct client *keydata_server_gone(struct server *s)
{
	struct client *awaiting = s->awaited_by;
	struct list_node *n;

	while ((n = list_pop(&s->told)) != NULL)
		list_entry(n, struct client, told_node)->told = NULL;
	s->awaited_by = NULL;
	if (awaiting)
		awaiting->awaited = NULL;
	return awaiting;
}

static void forget_key(struct client *c)
{
	map_remove(&c->proxy->clients_by_key, &c->by_key);
	if (c->secret_len > CANCEL_SECRET_SHORT)
		mem_free(c->long_secret);
}

void keydata_client_gone(struct client *c)
{
	if (c->told)
		list_remove(&c->told->told, &c->told_node);
	if (c->awaited)
		c->awaited->awaited_by = NULL;
	if (c->has_key)
		forget_key(c);
	c->told = c->awaited = NULL;
	c->has_key = false;
}
