/* SPDX-License-Identifier: PostgreSQL */
/*
 * The end of a pin. Only PostgreSQL knows whether a temporary table is left, an
 * advisory lock held, a cursor open: it is asked behind a transaction in which
 * one of them may have gone, while the client is idle, and nobody waits for the
 * answer. A request that comes meanwhile goes its way, and the answer is void.
 */
#ifndef WEIR_PROXY_UNPIN_H
#define WEIR_PROXY_UNPIN_H

#include "proxy/client.h"

/* The client has become idle: asks its server if there is reason to. */
void unpin_ask(struct client *c);
void unpin_take_row(struct client *c, struct slice body); /* the answer's DataRow */
/* The answer is complete; true: the client has let go of its server. */
bool unpin_done(struct client *c);

#endif
