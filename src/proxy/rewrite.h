/* SPDX-License-Identifier: PostgreSQL */
/*
 * Rewrites an extended request for a server: the client's statement names
 * become pgweir's, statements that the server doesn't have are parsed first,
 * and one op per Parse and Close goes to the reply script.
 */
#ifndef WEIR_PROXY_REWRITE_H
#define WEIR_PROXY_REWRITE_H

#include "proxy/client.h"
#include "proxy/plan.h"

void rewrite_send(struct client *c, const struct request *req, const struct plan *plan);
/* An error ends the current segment: what its Parse messages promised didn't happen. */
void rewrite_undo(struct client *c, struct server *s);

#endif
