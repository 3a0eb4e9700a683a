/* SPDX-License-Identifier: PostgreSQL */
/*
 * Lists of one pool. Idle servers are taken newest first, so that a quiet
 * pool shrinks to what it needs; a server whose session state already matches
 * the client's is preferred among the first few, which saves the sync.
 */
#include "pool/pool.h"

#include "base/mem.h"
#include "pool/ledger.h"
#include "pool/session.h"

void pool_init(struct pool *p, struct ledger_entry *ledger, unsigned worker, uint16_t node_id)
{
	memset(p, 0, sizeof *p);
	for (int i = 0; i < SERVER_STATE_COUNT; i++)
		list_init(&p->by_state[i]);
	list_init(&p->waiting);
	p->ledger = ledger;
	p->worker = worker;
	p->node_id = node_id;
	p->host = mem_strdup("");
}

void pool_fini(struct pool *p)
{
	for (int i = 0; i < SERVER_STATE_COUNT; i++)
		WEIR_ASSERT(p->by_state[i].count == 0);
	WEIR_ASSERT(p->waiting.count == 0);
	mem_free(p->host);
	p->host = NULL;
}

bool pool_is_at(const struct pool *p, const char *host, uint16_t port)
{
	return p->port == port && strcmp(p->host, host) == 0;
}

void pool_set_address(struct pool *p, const char *host, uint16_t port)
{
	mem_free(p->host);
	p->host = mem_strdup(host);
	p->port = port;
}

static struct list_node *first_idle(struct pool *p)
{
	struct list *idle = &p->by_state[SERVER_IDLE];

	return p->is_round_robin ? list_last(idle) : list_first(idle);
}

/* One in that very state, else the one that is nearest to it, of the first few. */
static struct list_node *matching_idle(struct pool *p, const struct session_state *session)
{
	struct list_node *end = &p->by_state[SERVER_IDLE].head;
	struct list_node *n = first_idle(p), *nearest = NULL;
	size_t least = SIZE_MAX;

	for (int i = 0; i < POOL_MATCH_DEPTH && n && n != end; i++) {
		const struct session_state *has = list_entry(n, struct server, node)->session;
		size_t distance = has == session ? 0 : session_distance(has, session);

		if (distance == 0)
			return n;
		if (distance < least) {
			least = distance;
			nearest = n;
		}
		n = p->is_round_robin ? n->prev : n->next;
	}
	return nearest;
}

static struct list_node *owned_idle(struct pool *p, uint64_t client)
{
	struct list_node *nobodys = NULL;
	int depth = 0;

	list_foreach(&p->by_state[SERVER_IDLE], n) {
		const struct server *s = list_entry(n, struct server, node);

		if (s->sequence_client == client)
			return n;
		if (!nobodys && s->sequence_client == 0)
			nobodys = n;
		if (++depth == POOL_OWNER_DEPTH)
			break;
	}
	return nobodys;
}

struct server *pool_take_own(struct pool *p, const struct session_state *session, uint64_t client)
{
	struct list_node *n = owned_idle(p, client);
	struct server *s;

	if (!n)
		return pool_take(p, session);
	s = list_entry(n, struct server, node);
	server_set_state(s, SERVER_ACTIVE);
	return s;
}

struct server *pool_take(struct pool *p, const struct session_state *session)
{
	struct list_node *n = matching_idle(p, session);
	struct server *s;

	if (!n)
		n = first_idle(p);
	if (!n)
		return NULL;
	s = list_entry(n, struct server, node);
	server_set_state(s, SERVER_ACTIVE);
	return s;
}

void pool_set_idle(struct pool *p, struct server *s, uint64_t now_us)
{
	WEIR_ASSERT(s->pool == p && s->client == NULL && replies_count(&s->replies) == 0);
	s->idle_since_us = now_us;
	server_set_state(s, SERVER_IDLE);
}

size_t pool_count(const struct pool *p, enum server_state state)
{
	return p->by_state[state].count;
}

size_t pool_open_count(const struct pool *p)
{
	size_t n = 0;

	for (int i = 0; i < SERVER_CLOSED; i++)
		n += p->by_state[i].count;
	return n;
}

/* Clocks of two loops may differ by a turn: a later `since` is now. */
static bool is_past(uint64_t since_us, uint64_t now_us, uint64_t bound_us)
{
	return bound_us && now_us > since_us && now_us - since_us >= bound_us;
}

bool pool_is_expired(const struct server *s, uint64_t now_us, uint64_t lifetime_us,
                     uint64_t idle_us)
{
	return s->generation != s->pool->generation ||
	       is_past(s->connected_us, now_us, lifetime_us) ||
	       is_past(s->idle_since_us, now_us, idle_us);
}
