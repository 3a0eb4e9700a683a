/* SPDX-License-Identifier: PostgreSQL */
/*
 * A server connection's I/O outside requests: opening and log-in, the reset
 * before reuse, closing. Requests' answers are answer.h's.
 */
#ifndef WEIR_PROXY_BACKEND_H
#define WEIR_PROXY_BACKEND_H

#include "metrics/close_reasons.h"
#include "proxy/proxy.h"

struct client;
struct pool;

/* Opens a connection for a slot that the ledger has reserved. */
struct server *backend_open(struct pool *pool);
/* Likewise the replication connection of a client that logs in, see replication.h. */
void backend_open_for(struct pool *pool, struct client *c);
/* server_check_query: one that nobody has was idle for too long to be trusted. */
bool backend_wants_check(const struct server *s);
void backend_check(struct server *s);   /* then TESTED; it comes back through link_server_free */
void backend_checked(struct server *s); /* its check is over, if one was under way */
/* Discards what a client left behind, then link_server_free. From ACTIVE or CANCELED. */
void backend_reset(struct server *s);
/* Closes it, whatever it does; its client is told elsewhere and unlinked already. */
void backend_close(struct server *s, enum close_reason reason);
void backend_adopt(struct server *s, struct proxy *p, struct conn_moved moved);
struct proxy *backend_proxy(const struct server *s);
struct tenant *backend_tenant(const struct server *s);
/* A parameter that the server reported. */
/* False: it says something of the server, which a promotion changes, and nothing of its session. */
bool backend_learn_parameter(struct server *s, struct slice body);
void backend_send_query(struct server *s, struct slice sql);

#endif
