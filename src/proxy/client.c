/* SPDX-License-Identifier: PostgreSQL */
/*
 * A client's life: created from an accepted socket, closed in one place with
 * one reason, freed at the end of the turn. The edge table below is the
 * machine drawn in client.h.
 */
#include "proxy/client.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sm.h"
#include "pool/params.h"
#include "pool/session.h"
#include "proxy/backend.h"
#include "proxy/bring.h"
#include "proxy/cached.h"
#include "proxy/client_log.h"
#include "proxy/held.h"
#include "proxy/keydata.h"
#include "proxy/link.h"
#include "proxy/hear.h"
#include "proxy/listen.h"
#include "proxy/login.h"
#include "proxy/replication.h"
#include "proxy/serve.h"
#include "proxy/track.h"
#include "proxy/unnamed.h"
#include "proxy/vacate.h"
#include "wire/build.h"

enum { CLIENT_MESSAGE_MAX = 1 << 20 };

static const char *const state_names[CLIENT_STATE_COUNT] = {
	"login", "idle", "wait_cache", "wait_node", "waiting", "active", "wait_heard", "console",
	"closed",
};

#define TO_CLOSED SM_TO(CLIENT_CLOSED)

static const uint32_t state_edges[CLIENT_STATE_COUNT] = {
	[CLIENT_LOGIN] = SM_TO(CLIENT_IDLE) | TO_CLOSED,
	[CLIENT_IDLE] = SM_TO(CLIENT_WAIT_CACHE) | SM_TO(CLIENT_WAIT_NODE) |
			SM_TO(CLIENT_WAIT_SERVER) | SM_TO(CLIENT_ACTIVE) | SM_TO(CLIENT_WAIT_HEARD) |
			SM_TO(CLIENT_CONSOLE) | TO_CLOSED,
	[CLIENT_WAIT_CACHE] = SM_TO(CLIENT_IDLE) | TO_CLOSED,
	[CLIENT_WAIT_NODE] = SM_TO(CLIENT_IDLE) | TO_CLOSED,
	[CLIENT_WAIT_SERVER] = SM_TO(CLIENT_IDLE) | TO_CLOSED,
	[CLIENT_ACTIVE] = SM_TO(CLIENT_IDLE) | TO_CLOSED,
	[CLIENT_WAIT_HEARD] = SM_TO(CLIENT_IDLE) | TO_CLOSED,
	[CLIENT_CONSOLE] = SM_TO(CLIENT_IDLE) | TO_CLOSED,
	[CLIENT_CLOSED] = 0,
};

static const struct sm_spec client_sm = { "client", state_names, CLIENT_STATE_COUNT, state_edges };

static struct client *client_of(struct conn *conn)
{
	struct client *c = list_entry(conn, struct client, conn);

	WEIR_CHECK_MAGIC(c, CLIENT_MAGIC);
	return c;
}

static size_t take_bytes(struct client *c, struct slice bytes)
{
	return c->replication ? replication_client_bytes(c, bytes) : serve_bytes(c, bytes);
}

static size_t on_bytes(struct conn *conn, struct slice bytes)
{
	struct client *c = client_of(conn);
	size_t used = 0;

	if (c->state == CLIENT_LOGIN)
		used = login_on_bytes(c, bytes);
	if (c->state != CLIENT_LOGIN && c->state != CLIENT_CLOSED && used < bytes.len)
		used += take_bytes(c, slice_of(bytes.ptr + used, bytes.len - used));
	return used;
}

static void on_drained(struct conn *conn)
{
	struct client *c = client_of(conn);

	if (c->server)
		conn_resume_read(&c->server->conn);
	if (c->listening)
		hear_flush(c);
}

static void on_tls_hello(struct conn *conn)
{
	login_tls_hello(client_of(conn));
}

static void on_tls_ready(struct conn *conn)
{
	login_tls_ready(client_of(conn));
}

static void on_closed(struct conn *conn, enum weir_err why)
{
	struct client *c = client_of(conn);

	conn_close(conn);
	if (c->state == CLIENT_CLOSED)
		client_release(c); /* its last words are sent */
	else
		client_close(c, why == WEIR_ERR_TLS ? CLOSE_TLS : CLOSE_CLIENT_GONE, NULL);
}

static const struct conn_ops client_ops = {
	.on_bytes = on_bytes,
	.on_drained = on_drained,
	.on_tls_hello = on_tls_hello,
	.on_tls_ready = on_tls_ready,
	.on_closed = on_closed,
};

/* Unique among this worker's clients. */
static uint64_t next_id(struct proxy *p)
{
	uint64_t mask = (1u << CLIENT_ID_BITS) - 1, id;

	do {
		id = ((uint64_t)p->index << CLIENT_ID_BITS) | (++p->next_client_id & mask);
	} while ((id & mask) == 0 || proxy_client_by_id(p, id));
	return id;
}

struct client *client_create(struct proxy *p, int fd, bool is_unix)
{
	struct client *c = slab_zalloc(&p->client_slab);

	c->magic = CLIENT_MAGIC;
	c->proxy = p;
	c->state = CLIENT_LOGIN;
	c->id = next_id(p);
	c->connected_us = loop_now_us(p->loop);
	c->waiter.worker = (uint16_t)p->index;
	session_reads_init(&c->reads);
	list_append(&p->clients, &c->node);
	metrics_set(p->metrics, METRIC_CLIENTS, p->clients.count);
	map_insert(&p->clients_by_id, &c->by_id, hash_combine(c->id, 0));
	conn_open(&c->conn, p->loop, fd, &client_ops, &p->client_limits);
	login_begin(c, is_unix);
	return c;
}

void client_set_state(struct client *c, enum client_state to)
{
	sm_check(&client_sm, c->state, to);
	c->state = to;
}

void client_wait_join(struct client *c, struct list *list)
{
	WEIR_ASSERT(c->wait_list == NULL);
	list_append(list, &c->wait_node);
	c->wait_list = list;
}

void client_wait_leave(struct client *c)
{
	if (!c->wait_list)
		return;
	list_remove(c->wait_list, &c->wait_node);
	c->wait_list = NULL;
}

static void on_deferred_free(struct loop_deferred *deferred)
{
	struct client *c = list_entry(deferred, struct client, deferred);

	c->magic = 0;
	slab_free(&c->proxy->client_slab, c);
}

static void drop_state(struct client *c)
{
	session_put(&c->session);
	session_put(&c->startup);
	params_put(&c->defaults);
	track_fini(c);
	unnamed_free(c);
	prepared_names_destroy(&c->names);
	mem_free(c->begin_sql);
	c->begin_sql = NULL;
	bring_forget(c);
	mem_free(c->console_user);
	c->console_user = NULL;
	login_end(c);
	cached_end(c);
	if (c->writes)
		cached_invalidate(c);
	mem_free(c->writes);
	c->writes = NULL;
	held_release(c);
	listen_fini(c);
}

static void unlink_everywhere(struct client *c)
{
	struct proxy *p = c->proxy;
	struct server *own; /* replication connection that is being opened */

	loop_timer_cancel(&c->timer);
	if (c->waiter.state != WAITER_NONE)
		ledger_unwait(c->pool->ledger, &c->waiter); /* GRANTED stays: a server is on its way */
	client_wait_leave(c);
	own = c->replication ? c->awaited : NULL;
	keydata_client_gone(c);
	if (own)
		backend_close(own, CLOSE_SERVER_REPLICATION);
	link_client_gone(c);
	list_remove(&p->clients, &c->node);
	metrics_set(p->metrics, METRIC_CLIENTS, p->clients.count);
	map_remove(&p->clients_by_id, &c->by_id);
	atomic_fetch_sub(&p->shared->client_count, 1);
	atomic_fetch_sub(&p->client_load, 1);
	if (c->is_seated)
		ledger_rise(p->shared->ledger, &c->tenant->seats);
	c->is_seated = false;
	if (c->tenant) {
		c->tenant->client_count--;
		c->tenant->in_flight += c->waiter.state != WAITER_NONE;
		vacate_client_gone(c->tenant);
	}
}

static void send_last_words(struct client *c, enum close_reason reason,
			    const struct pg_error *error)
{
	const struct close_reason_info *info = close_reason_info(reason);
	struct pg_error e;

	if (!error && *info->sqlstate) {
		pg_error_set(&e, info->sqlstate, "%s", info->message);
		error = &e;
	}
	if (error)
		client_send_error(c, "FATAL", error);
}

void client_close(struct client *c, enum close_reason reason, const struct pg_error *error)
{
	if (c->state == CLIENT_CLOSED)
		return;
	client_log_closed(c, reason);
	metrics_closed(c->proxy->metrics, reason);
	if (conn_is_open(&c->conn)) {
		send_last_words(c, reason, error);
		conn_close_after_flush(&c->conn);
	}
	unlink_everywhere(c);
	client_set_state(c, CLIENT_CLOSED);
	drop_state(c);
	client_release(c);
}

void client_release(struct client *c)
{
	if (conn_is_open(&c->conn) || c->waiter.state != WAITER_NONE)
		return;
	c->deferred.run = on_deferred_free;
	loop_defer(c->proxy->loop, &c->deferred);
}

void client_send_buf(struct client *c, struct buf *b)
{
	if (!b->err)
		conn_send_copy(&c->conn, buf_slice(b));
	buf_fini(b);
}

void client_send_error(struct client *c, const char *severity, const struct pg_error *e)
{
	struct buf b;

	if (c->tenant && c->state != CLIENT_LOGIN &&
	    c->proxy->settings->config->global.log_pooler_errors)
		log_info("pooler_error", "id=%llu db=%s user=%s sqlstate=%s message=\"%s\"",
			 (unsigned long long)c->id, c->tenant->database, c->tenant->user,
			 e->sqlstate, e->message);
	buf_init(&b, CLIENT_MESSAGE_MAX);
	build_error(&b, severity, e);
	client_send_buf(c, &b);
}

void client_send_notice(struct client *c, const char *severity, const char *sqlstate,
			const char *text)
{
	struct pg_error e;
	struct buf b;

	pg_error_set(&e, sqlstate, "%s", text);
	buf_init(&b, CLIENT_MESSAGE_MAX);
	build_notice(&b, severity, &e);
	client_send_buf(c, &b);
}

void client_send_ready(struct client *c)
{
	char status = c->is_txn_lost ? 'E' : txn_status(&c->txn);

	conn_send(&c->conn, status == 'I' ? wire_ready_idle :
			    status == 'T' ? wire_ready_txn :
					    wire_ready_failed);
}

bool client_is_free(const struct client *c)
{
	return c->pins == 0 && !c->stream_left && !c->replication &&
	       (c->txn.state == TXN_IDLE || c->txn.state == TXN_DEFERRED) &&
	       (!c->tenant || c->tenant->pool_mode != POOL_MODE_SESSION);
}

/*
 * A BEGIN that was answered here is a transaction to its client. Of a batch whose Sync is due there
 * are whole messages: it is waited for, which its timer bounds (see await_batch_end).
 */
bool client_may_leave(const struct client *c)
{
	bool has_batch = c->timer.loop || c->is_batch_cut;

	return c->state == CLIENT_IDLE && client_is_free(c) && !c->server && !has_batch &&
	       c->txn.state == TXN_IDLE;
}

void client_settle(struct client *c)
{
	held_release(c);
	c->retries = c->heals = 0;
	c->avoid_nodes = 0;
	c->wait_us = 0;
	c->is_wait_told = false;
	c->is_canceled = false;
	c->must_use_primary = false;
	if (c->txn.state != TXN_DEFERRED) {
		mem_free(c->begin_sql);
		c->begin_sql = NULL;
	}
}

void client_console_reply(struct client *c, struct slice messages)
{
	if (c->state != CLIENT_CONSOLE)
		return;
	conn_send_copy(&c->conn, messages);
	client_set_state(c, CLIENT_IDLE);
	client_send_ready(c);
	link_make_ready(c);
}
