/* SPDX-License-Identifier: PostgreSQL */
/*
 * Hears what other processes changed, of every master. Private to cache/; the
 * listener's thread.
 */
#ifndef WEIR_CACHE_LISTEN_H
#define WEIR_CACHE_LISTEN_H

#include <stdint.h>

struct cache_worker;
struct slots;

/* After nodes_adopt of the same map. Whom it doesn't hear yet it is deaf for. */
void listen_adopt(struct cache_worker *w, const struct slots *slots);
void listen_restart(struct cache_worker *w, const char *host, uint16_t port);
void listen_close(struct cache_worker *w);

#endif
