/* SPDX-License-Identifier: PostgreSQL */
/*
 * Finds out who the masters are, again and again. Private to cache/.
 */
#ifndef WEIR_CACHE_DISCOVER_H
#define WEIR_CACHE_DISCOVER_H

struct cache_worker;

void discover_open(struct cache_worker *w); /* the listener's thread, as is close */
void discover_close(struct cache_worker *w);
void discover_want(struct cache_worker *w); /* any worker's thread: the map may be wrong */

#endif
