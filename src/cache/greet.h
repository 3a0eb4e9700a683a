/* SPDX-License-Identifier: PostgreSQL */
/*
 * The first words with a Redis server: log-in, who it is, whether it is a
 * master, SUBSCRIBE. And the look at its role that is repeated later. Pure:
 * commands go into a buffer, replies come in.
 *
 * Only a master may be used: a replica takes no changes, and what it shows may
 * be older than what others were told. Two ids together name a server's
 * incarnation: the run id is another one after a restart, the replication id
 * after every promotion. Data of one incarnation says nothing about another's.
 */
#ifndef WEIR_CACHE_GREET_H
#define WEIR_CACHE_GREET_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/slice.h"
#include "cache/redis.h"

enum { GREET_ID_LEN = 40, GREET_STEPS_MAX = 4 };

enum greet_step { GREET_AUTH, GREET_SERVER, GREET_ROLE, GREET_SUBSCRIBE, GREET_PING };
enum greet_verdict { GREET_MORE, GREET_DONE, GREET_REFUSED };

struct greet_options {
	const char *user;     /* NULL: none */
	const char *password; /* NULL: no log-in */
	const char *channel;  /* NULL: none */
	bool takes_any;       /* not only a master: sentinels, nodes that are asked for the masters */
};

struct greet {
	enum greet_step steps[GREET_STEPS_MAX];
	unsigned count, at;
	bool is_denied;               /* INFO isn't allowed: restarts and promotions go unnoticed */
	bool is_replica;              /* REFUSED because of that */
	const char *why;              /* of REFUSED: constant text for the log */
	char run_id[GREET_ID_LEN + 1]; /* empty: not known */
	char replid[GREET_ID_LEN + 1]; /* the same */
};

/* Appends the commands of the whole greeting. */
void greet_begin(struct greet *g, const struct greet_options *o, struct buf *out);
enum greet_verdict greet_take(struct greet *g, const struct redis_reply *reply);

/* The command of a later look, and its answer: false if it isn't the same master any more. */
void greet_look(const struct greet *g, struct buf *out);
bool greet_is_same(struct greet *g, const struct redis_value *value);

/* "name:value" on a line of INFO's text. */
bool greet_info_find(struct slice info, const char *name, struct slice *value);

#endif
