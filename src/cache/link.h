/* SPDX-License-Identifier: PostgreSQL */
/*
 * A connection to Redis that keeps itself up: connect, log in, pipeline
 * requests, notice silence, reconnect with growing back-off. It is the breaker
 * too: while it isn't ready nobody waits for it, and the reconnect with its
 * greeting is the half-open probe. Two kinds: for commands, and subscribed to
 * one channel. It is up with a master only, looks at the role once a second,
 * and goes down when it is another one. Its loop's thread only.
 */
#ifndef WEIR_CACHE_LINK_H
#define WEIR_CACHE_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/list.h"
#include "base/slice.h"
#include "cache/greet.h"
#include "cache/redis.h"
#include "net/conn.h"
#include "net/loop.h"

struct link;
struct mailbox;
struct resolver;
struct resolver_query;
struct tls_context;

/* One or more commands sent together. Embedded in what waits for the replies. */
struct link_request {
	struct list_node node;
	unsigned remaining; /* replies still to come; counted down before the call */
	/* reply NULL: the link went down, nothing more comes. Unlinked then, and at remaining 0. */
	void (*on_reply)(struct link_request *self, const struct redis_reply *reply);
};

struct link_options {
	const char *host; /* for the resolver, where addr isn't known; borrowed: outlives the link */
	uint16_t port;
	struct resolver *resolver; /* borrowed: outlives the link; NULL: addr or nothing */
	struct sockaddr_storage addr;
	socklen_t addr_len;          /* 0: not known */
	struct tls_context *tls;     /* borrowed: outlives the link; NULL: plain */
	const char *tls_name;        /* that its certificate must have; borrowed */
	struct greet_options greet;  /* texts borrowed: outlive the link; channel: subscribed to it */
	bool is_deep;                /* nested replies are kept */
	size_t reply_max_bytes; /* a larger reply takes the link down */
	uint64_t greeting_us;   /* bound of connect and log-in */
	uint64_t patience_us; /* requests that time out for so long, without any reply, take it down */
};

struct link_ops {
	void (*on_ready)(struct link *link);
	/* After its requests were told; also when it couldn't come up (was_ready false). */
	void (*on_down)(struct link *link, bool was_ready);
	void (*on_beat)(struct link *link); /* about once a second while ready; may be NULL */
	void (*on_message)(struct link *link, struct slice payload); /* subscribed links */
};

enum link_state {
	LINK_CLOSED,
	LINK_DOWN,
	LINK_RESOLVING,
	LINK_CONNECTING, /* TLS included */
	LINK_GREETING,
	LINK_READY,
};

struct link {
	unsigned magic;
	enum link_state state;
	struct conn conn;
	struct loop *loop;            /* borrowed: outlives the link */
	struct mailbox *mailbox;      /* borrowed: outlives the link; for the resolver's answers */
	struct resolver_query *query; /* state RESOLVING; else NULL */
	const struct link_options *options;
	const struct link_ops *ops;
	struct redis_reader *reader; /* owned; NULL while not connected */
	struct buf out;              /* scratch for commands */
	struct list requests;        /* in the order of their replies */
	struct link_request look;
	struct loop_timer timer; /* reconnect, end of greeting, or beat: by state */
	uint64_t backoff_us;
	struct greet greet;        /* of the connection: who the server is */
	uint64_t first_timeout_us; /* of the row without a reply; 0: none */
	bool is_ping_out;          /* nothing heard since the last beat's look */
	uint64_t failures;         /* times it went down or couldn't come up */
};

void link_open(struct link *link, struct mailbox *mailbox, struct loop *loop,
               const struct link_options *options, const struct link_ops *ops);
void link_close(struct link *link); /* requests are told; no on_down */
bool link_is_ready(const struct link *link);
/* False: too much is waiting already, try nothing that can be left out. */
bool link_has_room(const struct link *link);

/* A command of the request to come: collected, and sent by link_send. */
void link_add(struct link *link, size_t argc, const struct slice *argv);
/* Sends what was added as one request of `replies` commands. False and nothing sent: not ready. */
bool link_send(struct link *link, struct link_request *request, unsigned replies);

/* A requester has waited too long. */
void link_timed_out(struct link *link);
/* Its server isn't what it was: down, and up again as soon as it is greeted anew. */
void link_restart(struct link *link, const char *why);
/* It isn't up but may be at once: the first try is under way. */
bool link_is_coming(const struct link *link);

#endif
