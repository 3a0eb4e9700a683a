/* SPDX-License-Identifier: PostgreSQL */
/*
 * Linking clients and servers: taking an idle one, waiting in order, handing a
 * freed one to whoever waits first, on this worker or (transfer.h) another. All
 * of it is the thin caller around pool/ and its ledger.
 */
#ifndef WEIR_PROXY_LINK_H
#define WEIR_PROXY_LINK_H

#include "proxy/client.h"

/* True: c->server is linked now. False: it waits; link_make_ready follows. */
bool link_acquire(struct client *c, const struct topology_node *node);
/* The client lets go of its server, which is then free. */
void link_release(struct client *c);
/*
 * Between two of a pipelining client's requests its server has somewhere else to go: others wait
 * for it, the pool is paused, or it is to be closed.
 */
bool link_is_wanted_back(const struct client *c);
/* For transfer.c: the client, an ACTIVE server's from now on; the end of any wait; whose waiter. */
void link_grant(struct client *c, struct server *s);
void link_stop_waiting(struct client *c);
struct client *link_client_of(struct ledger_waiter *w);
/* A server without client and pending replies: next waiter, reset, idle list, or closing. */
void link_server_free(struct server *s);
/* A client ends: its server is reset or closed. */
void link_client_gone(struct client *c);
/* Serve the client again from its kept bytes, in turn; not deeper than one level. */
void link_make_ready(struct client *c);
/* Everything idle in the pool is closed, the rest when it is free. */
void link_empty_pool(struct pool *pool);
/* Its node is no more: nobody waits for it, what runs there is lost. */
void link_abandon_pool(struct pool *pool);
void link_serve_waiters(struct pool *pool);
/* No server can be had there: those who wait choose again, or are told the error if given. */
void link_refuse_waiters(struct pool *pool, const struct pg_error *error);
/* Waits for a primary; served again when the topology changes or shortly. */
void link_wait_node(struct client *c);
/* Whose servers are others now: they join those who are served by link_serve_ready. */
void link_recall_waiters(struct pool *pool);
/* Between the two nobody is served: the lists and maps at hand stay as they are. */
void link_hold_ready(struct proxy *p);
void link_serve_ready(struct proxy *p);
/* PAUSE: who waits in the pool is held with its tenant, idle servers are closed. */
void link_pause_pool(struct pool *pool);
/* Waits for RESUME, as long as for a server. */
void link_wait_held(struct client *c);
void link_wake_held(struct tenant *t);
/* Waits for a fresher replica, some milliseconds; route_choose bounds how often. */
void link_wait_fresh(struct client *c);
/* A cancel reaches a client that waits: its request is answered with 57014. */
void link_cancel_wait(struct client *c);
void link_wake_cluster(struct proxy *p, struct cluster_view *view);
/* Unlinks the client from its server, which is the caller's to free or close; NULL: it had none. */
struct server *link_cut(struct client *c);

/* pgweir's own, in front of a request or between two: it ends the unnamed statement there. */
void link_send_query(struct client *c, struct slice sql);

#endif
