/* SPDX-License-Identifier: PostgreSQL */
/*
 * The request loop of a logged-in client: cut, plan, answer here, look into
 * the cache, route, acquire, forward. A request that can't move on stays in
 * the connection's kept bytes and is cut again when it can.
 */
#ifndef WEIR_PROXY_SERVE_H
#define WEIR_PROXY_SERVE_H

#include "proxy/client.h"
#include "proxy/plan.h"

/* The on_bytes of a client that is logged in; returns what was consumed. */
size_t serve_bytes(struct client *c, struct slice bytes);
/* Serves the held request again (is_retrying). */
void serve_held(struct client *c);
/* An error that pgweir itself answers to this request, then ReadyForQuery where one is due. */
void serve_error(struct client *c, const struct request *req, const struct pg_error *e);
/* The database's, unless the session chose another: SET pgweir.consistency. */
enum config_consistency serve_level(const struct client *c);

#endif
