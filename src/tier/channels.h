/* SPDX-License-Identifier: PostgreSQL */
/*
 * The listening session of one database: on its primary, with every channel that
 * some client of pgweir listens on. Connects when the first channel is wanted,
 * listens again after a failure or on a new primary, and goes when no channel is
 * left. Control thread only.
 */
#ifndef WEIR_TIER_CHANNELS_H
#define WEIR_TIER_CHANNELS_H

#include "tier/pg_session.h"

struct channels;

struct channels_ops {
	/* The primary sends what is notified on the channel from now on. */
	void (*on_listening)(void *arg, const char *channel);
	void (*on_notification)(void *arg, const struct pg_notification *n);
	/* What was notified before channels_catch_up has been told, or can't be. */
	void (*on_caught_up)(void *arg, uint64_t listener);
};

struct channels *channels_create(const struct pg_session_net *net, const struct channels_ops *ops,
				 void *arg, const char *database);
void channels_destroy(struct channels *c);
/* Another primary, or none (NULL) for now. */
void channels_target(struct channels *c, const struct pg_session_target *target);
/* Once for each worker that wants it; tells on_listening also if it is so already. */
void channels_want(struct channels *c, const char *channel);
void channels_unwant(struct channels *c, const char *channel);
/* Tells on_caught_up once all that was committed before is heard; `listener` is the caller's. */
void channels_catch_up(struct channels *c, uint64_t listener);

#endif
