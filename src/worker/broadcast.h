/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the control thread tells every worker: one task each, with a reference
 * or a copy of its own. Control thread.
 */
#ifndef WEIR_WORKER_BROADCAST_H
#define WEIR_WORKER_BROADCAST_H

#include <stdint.h>

struct catalog;
struct control;
struct gate_state;
struct pg_notification;
struct settings;
struct topology;

void broadcast_topology(struct control *c, const char *cluster, struct topology *topology);
void broadcast_catalog(struct control *c, const char *database, struct catalog *catalog);
void broadcast_listening(struct control *c, const char *database, const char *channel);
void broadcast_notification(struct control *c, const char *database,
			    const struct pg_notification *n);
/* To the worker whose client's id it is. */
void broadcast_caught_up(struct control *c, uint64_t client_id);
void broadcast_settings(struct control *c, struct settings *settings);
void broadcast_gate(struct control *c, const char *database, struct gate_state state);
void broadcast_resume(struct control *c); /* every gate's pause ends */
void broadcast_drain(struct control *c);

#endif
