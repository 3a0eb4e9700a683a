/* SPDX-License-Identifier: PostgreSQL */
/*
 * The control plane on the main thread: starts and stops everything in one
 * order and its reverse, accepts clients and hands them out (accept.h), applies
 * reloads, follows the tier and passes its snapshots on to the workers.
 */
#ifndef WEIR_WORKER_CONTROL_H
#define WEIR_WORKER_CONTROL_H

#include <stddef.h>

struct config;
struct control;

/* Everything but running: sockets are open, threads wait. NULL and `why` on failure. */
struct control *control_create(struct config *config, char *why, size_t why_size);
void control_run(struct control *c); /* returns when the process is to end */
void control_destroy(struct control *c);

/* Any thread. */
void control_reload_post(struct control *c);
void control_pause_post(struct control *c, int paused);
/* The first call drains, a second one or is_now stops at once. */
void control_stop_post(struct control *c, int is_now);
/* Drains as a stop does, but then stays until it is told to stop: its pidfile is gone by then. */
void control_drain_post(struct control *c);

#endif
