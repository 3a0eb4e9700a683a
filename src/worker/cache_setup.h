/* SPDX-License-Identifier: PostgreSQL */
/*
 * The process's cache, made from the configuration, and what a new timeline
 * does to it. Control thread.
 */
#ifndef WEIR_WORKER_CACHE_SETUP_H
#define WEIR_WORKER_CACHE_SETUP_H

#include <stdint.h>

struct cache;
struct control;
struct resolver;

/* The resolver outlives the cache. */
struct cache *control_create_cache(struct control *c, struct resolver *resolver);
/* A cluster has a primary of that timeline: entries of an older one are void. */
void control_void_cache(struct control *c, const char *cluster, uint32_t timeline);

#endif
