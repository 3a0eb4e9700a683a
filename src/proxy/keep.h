/* SPDX-License-Identifier: PostgreSQL */
/*
 * Servers kept for one client. What currval and lastval give is the server
 * process's, so a client that moved a sequence has its server kept for its next
 * request to that node; others get it only when they have waited for long (ADR
 * 0018). A server KEPT is its client's `kept`, the client its `owner`. Worker's
 * thread.
 */
#ifndef WEIR_PROXY_KEEP_H
#define WEIR_PROXY_KEEP_H

#include "proxy/client.h"

/* Servers of this pool may be kept for the client. */
bool keep_may(const struct client *c, const struct pool *pool);
/* The client has let go of it. True: it is KEPT now. */
bool keep_server(struct client *c, struct server *s);
/* The client's own of that pool, now ACTIVE; NULL: none. */
struct server *keep_take(struct client *c, const struct pool *pool);
/* Values were asked for in its pool, and its transaction isn't to begin elsewhere. */
bool keep_wants_primary(const struct client *c);
/* A client waits in the pool: for long, and what is kept is given up. */
void keep_watch(struct pool *pool);
/* So many become free, those kept for longest first; how many are missing. */
uint32_t keep_give_up(struct pool *pool, uint32_t count);
void keep_forget(struct server *s);      /* the server closes */
void keep_client_gone(struct client *c); /* what is kept for it becomes free */

#endif
