/* SPDX-License-Identifier: PostgreSQL */
/*
 * Where clients come in. The control plane accepts them and hands each to the
 * worker with the fewest; a worker without colleagues accepts its own, so that
 * no thread wakes another one for a log-in.
 */
#ifndef WEIR_WORKER_ACCEPT_H
#define WEIR_WORKER_ACCEPT_H

#include <stddef.h>

struct control;

/* Opens the sockets; before the workers run. 0, or -1 and `why`. */
int accept_open(struct control *c, char *why, size_t why_size);
/* No more clients: a worker closes its sockets before the tasks posted after this. Idempotent. */
void accept_close(struct control *c);

#endif
