/* SPDX-License-Identifier: PostgreSQL */
/*
 * Cancel requests. A client's key leads to its worker and to the client; if a
 * request of it runs, the cancel goes to that server, which is given to nobody
 * else until the cancel has been delivered, so it can't hit another's query.
 */
#ifndef WEIR_PROXY_CANCEL_H
#define WEIR_PROXY_CANCEL_H

#include "proxy/client.h"

/* From any worker; unknown and wrong keys are dropped without a word, as PostgreSQL does. */
void cancel_request(struct proxy *p, uint32_t pid, struct slice key);
/* The server is closed: its cancels still under way must not touch it. */
void cancel_forget_server(struct proxy *p, struct server *s);
void cancel_close_all(struct proxy *p);

#endif
