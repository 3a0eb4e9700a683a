/* SPDX-License-Identifier: PostgreSQL */
/*
 * The process's cache, made from the configuration: its Redis URL taken
 * apart, and what a new timeline does to it. Control thread.
 */
#ifndef WEIR_WORKER_CACHE_URL_H
#define WEIR_WORKER_CACHE_URL_H

#include <stdbool.h>
#include <stdint.h>

struct cache;
struct config;
struct control;

enum { CACHE_URL_PART_MAX = 256 };

struct cache_url { /* texts are empty when not given */
	char host[CACHE_URL_PART_MAX];
	char user[CACHE_URL_PART_MAX];
	char password[CACHE_URL_PART_MAX];
	uint16_t port;
};

/* redis://[user[:password]@]host[:port][/...]; false: malformed. Pure. */
bool cache_url_parse(const char *url, struct cache_url *out);
struct cache *control_create_cache(const struct config *config);
/* A cluster has a primary of that timeline: entries of an older one are void. */
void control_void_cache(struct control *c, const char *cluster, uint32_t timeline);

#endif
