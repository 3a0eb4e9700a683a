/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a client knows of "its" server: the process id and the secret of
 * BackendKeyData. The id is a real server's, one that the client then prefers,
 * so that what an application asks PostgreSQL about itself (pg_blocking_pids,
 * pg_terminate_backend, pg_stat_activity) is mostly true; for as long as the
 * client keeps that server it is wholly true. The secret is pgweir's own: a
 * cancel request is found by both and never leaves as it came.
 */
#ifndef WEIR_PROXY_KEYDATA_H
#define WEIR_PROXY_KEYDATA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/map.h"
#include "base/slice.h"

struct client;
struct pool;
struct proxy;
struct server;

map_equal_fn keydata_equal; /* of proxy->clients_by_key */

/*
 * Chooses the server that the client is told, the one that fewest were told of. False: with
 * may_open one is being opened for it, and the log-in goes on when that is there or has failed.
 */
bool keydata_choose(struct client *c, struct pool *pool, bool may_open);
/* The process id to tell, or the client's number where no server is; its key counts from now on. */
uint32_t keydata_publish(struct client *c);
/* What goes with it; as long as the client's protocol version has it. */
struct slice keydata_secret(const struct client *c);
/* NULL: nobody (here) has that key. */
struct client *keydata_find(const struct proxy *p, uint32_t pid, struct slice secret);

/* The server that the client was told if it is idle in this pool, now ACTIVE; NULL. */
struct server *keydata_take(const struct client *c, struct pool *pool);
bool keydata_is_idle(const struct client *c);

/* A server that was opened for a client is ready: tells it. The client; NULL: for none. */
struct client *keydata_opened(struct server *s);
/* It closes, or moves to another worker. The client whose log-in waited for it; NULL: none. */
struct client *keydata_server_gone(struct server *s);
void keydata_client_gone(struct client *c);

#endif
