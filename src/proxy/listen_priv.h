/* SPDX-License-Identifier: PostgreSQL */
/*
 * What listen.c and hear.c share: who listens on what, and what each listener is
 * still to hear. Nobody else reads a field of these.
 */
#ifndef WEIR_PROXY_LISTEN_PRIV_H
#define WEIR_PROXY_LISTEN_PRIV_H

#include "base/buf.h"
#include "proxy/client.h"

struct action;

struct listen_channel {
	struct map_node map;
	struct list subscriptions;
	bool is_live;      /* the tier's session listens */
	char *database;    /* owned */
	char *name;        /* owned */
};

struct subscription {
	struct list_node of_channel;
	struct list_node of_client;
	struct listen_channel *channel; /* borrowed: lives while it has subscriptions */
	struct client *client;          /* borrowed: owns us */
	bool is_in_effect;
};

struct listening {
	struct list subscriptions;
	struct action *actions; /* owned: of the open transaction; listen.c */
	uint32_t count, cap;
	struct buf queue;       /* messages for when the client is idle */
	struct buf early;       /* its own ones on channels that its open transaction listens on */
	bool is_ready_due;      /* ReadyForQuery, once all is heard */
	uint32_t own_pid;       /* ... of its own, too: from the server that ran it; else 0 */
	bool has_heard;         /* all that was notified before the request that is served now */
	bool was_inside;        /* a transaction, as that request came: it hears at its end */
	bool is_full;           /* it ran over: the client is about to be closed */
};

/* listen.c */
struct listen_channel *listen_channel_find(struct proxy *p, const char *database, const char *name);
void listen_forget_if_idle(struct client *c); /* it has no channel, and nothing to hear */

/* hear.c */
void hear_keep(struct listening *l, struct slice messages); /* for when the client is idle */

#endif
