/* SPDX-License-Identifier: PostgreSQL */
/*
 * The way of a log-in's question for a user's secret: from a worker to the
 * tier on the control thread, and back to the client, if it is still there.
 */
#ifndef WEIR_WORKER_CREDENTIALS_H
#define WEIR_WORKER_CREDENTIALS_H

#include "base/slice.h"

struct proxy;
struct client;

/* proxy_hooks.secret; any worker's thread. database: the entry to ask by. */
void credentials_hook(void *ctx, struct proxy *proxy, struct client *client, struct slice database,
		      struct slice user);

#endif
