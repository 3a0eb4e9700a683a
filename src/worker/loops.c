/* SPDX-License-Identifier: PostgreSQL */
/*
 * Workers are equal, so their loops are of one kind: rings where every worker
 * gets one, else epoll for all. The control thread makes them, before anything
 * else of the process, so that a refusal is heard of before a port is taken.
 *
 * A probe tells what the kernel can do; a ring may still be refused after it,
 * by limits on memory and descriptors.
 */
#include "worker/loops.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

static void destroy_all(struct loop **loops, unsigned count)
{
	while (count > 0)
		loop_destroy(loops[--count]);
}

static bool create_all(const struct loop_options *o, struct loop **loops, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		loops[i] = loop_create(o);
		if (!loops[i]) {
			int err = errno;

			destroy_all(loops, i);
			errno = err;
			return false;
		}
	}
	return true;
}

static bool create_rings(const struct config_globals *g, struct loop **loops, unsigned count,
			 char *why, size_t why_size)
{
	struct loop_options o = { .backend = LOOP_RING,
				  .ring_buffers = (unsigned)g->io_uring_buffers,
				  .ring_buffer_bytes = (size_t)g->io_uring_buffer_bytes };

	if (!loop_ring_probe(why, why_size))
		return false;
	if (create_all(&o, loops, count))
		return true;
	snprintf(why, why_size, "a ring per worker (%u): %s", count, loop_ring_refusal(errno));
	return false;
}

int loops_create(const struct config_globals *g, struct loop **loops, unsigned count, char *why,
		 size_t why_size)
{
	char reason[256] = "";

	if (g->io_backend != IO_BACKEND_EPOLL) {
		if (create_rings(g, loops, count, reason, sizeof reason)) {
			log_info("io_backend", "used=io_uring");
			return 0;
		}
		if (g->io_backend == IO_BACKEND_IO_URING) {
			snprintf(why, why_size, "io_backend = io_uring isn't possible here: %s",
				 reason);
			return -1;
		}
	}
	if (!create_all(&(struct loop_options){ .backend = LOOP_EPOLL }, loops, count)) {
		snprintf(why, why_size, "event loops of %u workers: %s", count, strerror(errno));
		return -1;
	}
	if (*reason)
		log_info("io_backend", "used=epoll reason=\"%s\"", reason);
	else
		log_info("io_backend", "used=epoll");
	return 0;
}
