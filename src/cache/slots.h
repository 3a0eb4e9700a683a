/* SPDX-License-Identifier: PostgreSQL */
/*
 * Which master serves which keys: a snapshot that is made by discovery
 * (discover.c), counted, shared by all workers and never changed but for the
 * nodes' live marks. One Redis server is a map whose one node serves all. Pure
 * otherwise: the hash slot of a key, CLUSTER SLOTS read, redirections read.
 */
#ifndef WEIR_CACHE_SLOTS_H
#define WEIR_CACHE_SLOTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "cache/redis.h"

enum {
	SLOTS_COUNT = 16384,
	SLOTS_NODES_MAX = 128, /* masters; a larger cluster is refused */
	SLOTS_NONE = SLOTS_NODES_MAX,
	SLOTS_HOST_MAX = 255,
};

struct slots_node {
	char host[SLOTS_HOST_MAX + 1];
	char name[SLOTS_HOST_MAX + 1]; /* that it announces; empty: none */
	uint16_t port;
	_Atomic uint32_t links_open, links_up; /* of all workers */
	_Atomic bool is_heard;
};

struct slots {
	_Atomic uint32_t refs;
	bool is_cluster;
	unsigned node_count;
	uint8_t owner[SLOTS_COUNT]; /* index of the node, or SLOTS_NONE */
	struct slots_node nodes[];
};

/* CRC16 of the key, or of what is between its first { and the next }, if anything is. */
uint16_t slots_of_key(struct slice key);

struct slots *slots_single(struct slice host, uint16_t port);
/*
 * The answer to CLUSTER SLOTS, asked at `asked` (who calls itself by no name is that one).
 * NULL and *why (static text): not understood, too large, or nothing is served at all.
 */
struct slots *slots_from_reply(const struct redis_reply *reply, struct slice asked,
                               const char **why);
struct slots *slots_get(struct slots *s);
void slots_put(struct slots **s); /* NULLs; the last one frees */

unsigned slots_owner(const struct slots *s, uint16_t slot); /* SLOTS_NONE: nobody */
unsigned slots_find(const struct slots *s, struct slice host, uint16_t port); /* or SLOTS_NONE */
bool slots_equal(const struct slots *a, const struct slots *b);
/* Every master of `before` is one in `after` too. */
bool slots_keeps_masters(const struct slots *before, const struct slots *after);

struct redirect {
	bool is_ask; /* this once; else MOVED, from now on */
	uint16_t slot, port;
	struct slice host; /* points into the error; empty: the host that answered */
};
/* False: another error. */
bool redirect_parse(struct slice error, struct redirect *out);

#endif
