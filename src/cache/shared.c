/* SPDX-License-Identifier: PostgreSQL */
/*
 * Names and tokens of the level in Redis: what several pgweir processes have
 * to agree on. No waiting and no decisions here (lookup.c, publish.c, listen.c
 * have those). A worker's thread.
 */
#include "cache/shared.h"

#include "base/mem.h"

#include <stdio.h>

void worker_count(struct cache_worker *w, enum worker_counter which)
{
	uint64_t n = atomic_load_explicit(&w->counters[which], memory_order_relaxed);

	atomic_store_explicit(&w->counters[which], n + 1, memory_order_relaxed);
}

bool shared_is_usable(const struct cache_worker *w)
{
	const struct cache *c = w->cache;

	return c->has_redis && atomic_load(&c->owed) == atomic_load(&c->paid);
}

static size_t key_begin(const struct cache *c, char kind, char *out)
{
	size_t len = strlen(c->options.redis.prefix);

	memcpy(out, c->options.redis.prefix, len);
	out[len++] = ':';
	out[len++] = kind;
	out[len++] = ':';
	return len;
}

struct slice shared_entry_key(const struct cache *c, struct hash128 key, char *out)
{
	size_t len = key_begin(c, 'e', out);

	hash128_hex(key, out + len);
	return slice_of(out, len + HASH128_HEX_LEN);
}

struct slice shared_token_key(const struct cache *c, const struct hash128 *database,
                              struct hash128 name, char *out)
{
	size_t len = key_begin(c, 'g', out);

	if (c->is_cluster && database) {
		out[len++] = '{';
		hash128_hex(*database, out + len);
		len += HASH128_HEX_LEN;
		out[len++] = '}';
	}
	hash128_hex(name, out + len);
	return slice_of(out, len + HASH128_HEX_LEN);
}

struct slice shared_token_new(struct cache *c, uint8_t out[SHARED_TOKEN_BYTES])
{
	hash128_to_bytes((struct hash128){ c->nonce, atomic_fetch_add(&c->tokens_made, 1) }, out);
	return slice_of(out, SHARED_TOKEN_BYTES);
}

uint64_t shared_token_hash(struct slice token)
{
	uint64_t h = hash_bytes(token.ptr, token.len);

	return h ? h : 1;
}

unsigned shared_names(const struct cache_deps *deps, struct hash128 out[SHARED_NAMES_MAX])
{
	unsigned n = 0;

	out[n++] = generation_name(GENERATION_ALL, slice_of("", 0), 0);
	out[n++] = generation_name(GENERATION_CLUSTER, tables_cluster_of(deps->database), 0);
	out[n++] = generation_name(GENERATION_DATABASE, deps->database, 0);
	for (uint32_t i = 0; i < deps->table_count; i++)
		out[n++] = generation_name(GENERATION_TABLE, deps->database, deps->tables[i]);
	return n;
}

struct forgotten {
	struct link_request request;
	struct cache_worker *worker;
};

static void on_forgotten_reply(struct link_request *self, const struct redis_reply *reply)
{
	struct forgotten *f = list_entry(self, struct forgotten, request);
	struct redirect redirect;

	if (reply && reply->value.type == REDIS_TYPE_ERROR &&
	    !shared_take_redirect(f->worker, &reply->value, &redirect))
		worker_count(f->worker, COUNT_REDIS_ERRORS);
	mem_free(f);
}

void shared_send_and_forget(struct node *n)
{
	struct forgotten *f = mem_zalloc(sizeof *f);

	f->worker = n->worker;
	f->request.on_reply = on_forgotten_reply;
	if (!link_send(&n->link, &f->request, 1))
		mem_free(f);
}

void shared_set_token(struct node *n, struct slice key, struct slice token, bool if_absent)
{
	char life[16];
	int life_len = snprintf(life, sizeof life, "%d", SHARED_TOKEN_LIFE_MS);
	struct slice argv[6] = {
		slice_str("SET"), key,           token, slice_str("PX"), slice_of(life, (size_t)life_len),
		slice_str("NX"),
	};

	link_add(&n->link, if_absent ? 6 : 5, argv);
}

bool shared_take_redirect(struct cache_worker *w, const struct redis_value *v,
                          struct redirect *out)
{
	/* One that is no cluster's by the configuration names nobody: that is an error like others. */
	if (v->type != REDIS_TYPE_ERROR || !w->cache->is_cluster || !redirect_parse(v->text, out)) {
		if (redis_error_is(v, "CLUSTERDOWN"))
			discover_want(w);
		return false;
	}
	worker_count(w, COUNT_REDIRECTIONS);
	if (!out->is_ask)
		discover_want(w);
	return true;
}
