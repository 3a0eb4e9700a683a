/* SPDX-License-Identifier: PostgreSQL */
/*
 * The loops of all workers, and the choice of what they use: io_backend.
 */
#ifndef WEIR_WORKER_LOOPS_H
#define WEIR_WORKER_LOOPS_H

#include <stddef.h>

#include "config/config.h"
#include "net/loop.h"

/*
 * Fills loops[0..count), all of one kind, and logs which. -1 and `why`, none made: io_uring was
 * demanded and can't be had. The caller destroys them.
 */
int loops_create(const struct config_globals *g, struct loop **loops, unsigned count, char *why,
		 size_t why_size);

#endif
