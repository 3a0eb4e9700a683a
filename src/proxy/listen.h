/* SPDX-License-Identifier: PostgreSQL */
/*
 * LISTEN, UNLISTEN and notifications in transaction mode. Clients listen here:
 * the one session that listens in PostgreSQL is the tier's (tier/channels.h), and
 * every worker hears of each notification and hands it to its listeners, in order,
 * while they are idle outside a transaction. LISTEN is answered once the tier's
 * session listens, and takes effect at the end of its transaction. Worker's thread.
 */
#ifndef WEIR_PROXY_LISTEN_H
#define WEIR_PROXY_LISTEN_H

#include "proxy/client.h"
#include "proxy/plan.h"

/* The request is nothing but LISTEN and UNLISTEN, and they are pgweir's to do. */
bool listen_is_ours(const struct client *c, const struct request *req, const struct plan *plan);
/* Answers all of it. False: nothing was done, the client waits for the tier's session. */
bool listen_serve(struct client *c, const struct request *req, const struct plan *plan);
/*
 * A LISTEN among other statements: the server executes it, and pgweir does. True: nothing of what
 * is notified from now on will be missed, or it is left to the server and pins. False: the client
 * waits.
 */
bool listen_follow(struct client *c, struct plan *plan);
/* A LISTEN, an UNLISTEN that a server has executed among other statements. name NULL: all. */
void listen_listen(struct client *c, const char *name);
void listen_unlisten(struct client *c, const char *name);
/* The server is to listen as the client does: pg_listening_channels() shows it. */
void listen_show(struct client *c);
/* The end of the transaction. settings.marks says how much of it a savepoint has left. */
void listen_commit(struct client *c);
void listen_rollback(struct client *c);
void listen_fini(struct client *c);
size_t listen_count(const struct client *c); /* channels */

/* From the tier: its session listens. */
void listen_is_live(struct proxy *p, const char *database, const char *channel);

bool listen_channel_equal(const struct map_node *node, const void *key); /* for proxy.c's map */

#endif
