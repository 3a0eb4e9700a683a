/* SPDX-License-Identifier: PostgreSQL */
/*
 * Life and state of a server connection; see the diagram in server.h. The
 * edge table below is the machine, list membership follows from it.
 */
#include "pool/server.h"

#include <stdatomic.h>

#include "base/mem.h"
#include "base/sm.h"
#include "pool/ledger.h"
#include "pool/params.h"
#include "pool/pool.h"
#include "pool/session.h"

static const char *const state_names[SERVER_STATE_COUNT] = {
	"new", "idle", "kept", "active", "tested", "being_canceled", "moving", "closed",
};

static const uint32_t state_edges[SERVER_STATE_COUNT] = {
	[SERVER_LOGIN] = SM_TO(SERVER_IDLE) | SM_TO(SERVER_ACTIVE) | SM_TO(SERVER_CLOSED),
	[SERVER_IDLE] = SM_TO(SERVER_ACTIVE) | SM_TO(SERVER_TESTED) | SM_TO(SERVER_MOVING) |
			SM_TO(SERVER_CLOSED),
	[SERVER_KEPT] = SM_TO(SERVER_ACTIVE) | SM_TO(SERVER_IDLE) | SM_TO(SERVER_TESTED) |
			SM_TO(SERVER_CLOSED),
	[SERVER_ACTIVE] = SM_TO(SERVER_IDLE) | SM_TO(SERVER_KEPT) | SM_TO(SERVER_TESTED) |
			  SM_TO(SERVER_CANCELED) | SM_TO(SERVER_CLOSED),
	[SERVER_TESTED] = SM_TO(SERVER_IDLE) | SM_TO(SERVER_TESTED) | SM_TO(SERVER_CANCELED) |
	                  SM_TO(SERVER_CLOSED),
	[SERVER_CANCELED] = SM_TO(SERVER_IDLE) | SM_TO(SERVER_TESTED) | SM_TO(SERVER_CLOSED),
	[SERVER_MOVING] = SM_TO(SERVER_IDLE) | SM_TO(SERVER_CLOSED),
	[SERVER_CLOSED] = 0,
};

static const struct sm_spec server_sm = { "server", state_names, SERVER_STATE_COUNT, state_edges };

struct server *server_create(struct pool *pool)
{
	static _Atomic uint64_t next_id = 1;
	struct server *s = mem_zalloc(sizeof *s);

	s->magic = SERVER_MAGIC;
	s->pool = pool;
	s->generation = pool->generation;
	server_set_address(s, pool->host, pool->port);
	s->id = atomic_fetch_add_explicit(&next_id, 1, memory_order_relaxed);
	s->txn_status = 'I';
	replies_init(&s->replies);
	prepared_set_init(&s->prepared);
	plain_names_init(&s->plain);
	list_init(&s->told);
	s->state = SERVER_LOGIN;
	list_append(&pool->by_state[SERVER_LOGIN], &s->node);
	return s;
}

void server_destroy(struct server *s)
{
	WEIR_CHECK_MAGIC(s, SERVER_MAGIC);
	WEIR_ASSERT(s->state == SERVER_CLOSED && s->client == NULL && s->login == NULL);
	WEIR_ASSERT(s->told.count == 0 && s->awaited_by == NULL);
	if (list_node_linked(&s->node))
		list_remove(&s->pool->by_state[SERVER_CLOSED], &s->node);
	session_put(&s->session);
	params_put(&s->params);
	params_put(&s->defaults);
	replies_fini(&s->replies);
	prepared_set_fini(&s->prepared);
	plain_names_fini(&s->plain);
	mem_free(s->key);
	mem_free(s->host);
	s->magic = 0;
	mem_free(s);
}

void server_set_address(struct server *s, const char *host, uint16_t port)
{
	mem_free(s->host);
	s->host = mem_strdup(host);
	s->port = port;
}

const char *server_state_name(enum server_state state)
{
	return state_names[state];
}

static void publish_idle(struct pool *p)
{
	ledger_set_idle(p->ledger, p->worker, (uint32_t)p->by_state[SERVER_IDLE].count);
}

void server_set_state(struct server *s, enum server_state to)
{
	enum server_state from = s->state;

	sm_check(&server_sm, from, to);
	list_remove(&s->pool->by_state[from], &s->node);
	s->state = to;
	list_prepend(&s->pool->by_state[to], &s->node);
	if (from == SERVER_IDLE || to == SERVER_IDLE)
		publish_idle(s->pool);
	if (from == SERVER_KEPT || to == SERVER_KEPT)
		ledger_count_kept(s->pool->ledger, to == SERVER_KEPT);
}

void server_leave(struct server *s)
{
	WEIR_ASSERT(s->state == SERVER_MOVING);
	list_remove(&s->pool->by_state[SERVER_MOVING], &s->node);
}

void server_move(struct server *s, struct pool *to)
{
	WEIR_ASSERT(s->state == SERVER_MOVING && !list_node_linked(&s->node));
	s->pool = to;
	list_append(&to->by_state[SERVER_MOVING], &s->node);
}

void server_set_session(struct server *s, struct session_state *session)
{
	if (s->session == session)
		return;
	session_put(&s->session);
	s->session = session_get(session);
}

void server_set_key(struct server *s, uint32_t pid, struct slice key)
{
	mem_free(s->key);
	s->key = mem_alloc(key.len ? key.len : 1);
	memcpy(s->key, key.ptr, key.len);
	s->key_len = (uint16_t)key.len;
	s->pid = pid;
}
