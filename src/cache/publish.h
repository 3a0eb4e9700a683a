/* SPDX-License-Identifier: PostgreSQL */
/*
 * Tells Redis and the other processes what changed. Private to cache/; the
 * worker's thread.
 */
#ifndef WEIR_CACHE_PUBLISH_H
#define WEIR_CACHE_PUBLISH_H

#include <stdint.h>

#include "base/slice.h"
#include "cache/key.h"

struct cache;
struct cache_worker;
struct node;
struct publisher;

void publish_init(struct publisher *p);
void publish_fini(struct node *n); /* after its link was closed */
/* Marks it pending (or owed): before the local generation is bumped; publish_flush after. */
void publish_change(struct cache_worker *w, enum generation_kind kind, struct slice scope,
                    uint32_t oid);
void publish_flush(struct cache_worker *w);
void publish_node_ready(struct node *n);
void publish_node_down(struct node *n); /* what waits for it is owed */
void publish_settle(struct cache_worker *w); /* pays what is owed, if that can be done */
void publish_owe(struct cache *c);

#endif
