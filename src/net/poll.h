/* SPDX-License-Identifier: PostgreSQL */
/*
 * Readiness of many descriptors by one epoll set, for the loops of workers: a
 * watch that is started is known to the kernel by its address, and nothing
 * else is kept of it. A connection's two watches, for reading and for writing,
 * share one entry of the set, its read watch's. The loop's thread only.
 */
#ifndef WEIR_NET_POLL_H
#define WEIR_NET_POLL_H

#include <stdint.h>

struct poll;
struct ring_wait;

struct poll *poll_create(void); /* NULL: the system refuses */
void poll_destroy(struct poll *poll);

void poll_start(struct poll *poll, struct ring_wait *wait);
void poll_stop(struct poll *poll, struct ring_wait *wait); /* no call comes after it */

void poll_wait(struct poll *poll, uint64_t wait_us); /* UINT64_MAX: for as long as it takes */
void poll_dispatch(struct poll *poll);               /* calls those that are ready */

#endif
