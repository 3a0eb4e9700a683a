/* SPDX-License-Identifier: PostgreSQL */
/*
 * The connections to the database and who waits for one: a bounded number of
 * each, served in order. Connections are opened when they are needed and kept.
 * Loop's thread.
 */
#ifndef FINAI_POOL_H
#define FINAI_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "backend/link.h"
#include "base/list.h"

struct pool;

struct pool_settings {
	struct link_settings link; /* on_change and arg are the pool's */
	uint32_t size;
	uint32_t queue_max;
};

/* Embedded in who waits; zero it before its first use. */
struct pool_waiter {
	struct list_node node;
	void (*on_link)(void *arg, struct link *link); /* link is up; give it back by pool_put */
	void *arg;
};

struct pool *pool_create(const struct pool_settings *settings);
void pool_destroy(struct pool *pool); /* NULL is fine; whoever waits or holds is forgotten */

/*
 * on_link comes at once, from inside this call, when a connection is idle.
 * Negative: nobody may wait any more. A waiter that was answered isn't waiting.
 */
int pool_wait(struct pool *pool, struct pool_waiter *waiter) WEIR_MUST_CHECK;
void pool_cancel(struct pool *pool, struct pool_waiter *waiter); /* fine if it isn't waiting */
/* After its batch. An open transaction is rolled back first; a lost connection is opened anew. */
void pool_put(struct pool *pool, struct link *link);
/* In the middle of a batch: the connection is closed, so nothing of the batch's answer counts. */
void pool_give_up(struct pool *pool, struct link *link);

size_t pool_open_count(const struct pool *pool);
size_t pool_used_count(const struct pool *pool);
size_t pool_queue_length(const struct pool *pool);

#endif
