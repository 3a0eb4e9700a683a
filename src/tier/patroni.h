/* SPDX-License-Identifier: PostgreSQL */
/*
 * Asks a cluster's Patroni members for /cluster, one at a time: the one that
 * answered last first, the next one when it fails. Configured addresses come
 * first, those learnt from the last document serve when none of them answers.
 * Control thread only.
 */
#ifndef WEIR_TIER_PATRONI_H
#define WEIR_TIER_PATRONI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tier/pg_session.h"
#include "tier/view.h"

struct patroni;
struct tls_context;

struct patroni_ops {
	void (*on_cluster)(void *arg, const struct cluster_doc *doc);
	void (*on_unreachable)(void *arg); /* no member answered in this round */
};

struct patroni *patroni_create(const struct pg_session_net *net, const struct patroni_ops *ops,
			       void *arg);
void patroni_destroy(struct patroni *p); /* not from inside its callbacks */
/* http[s]://host:port with or without /cluster; copied. timeout_ms is one member's. An answer under
 * way is dropped. tls: for https, a reference is taken; NULL: https is refused. */
void patroni_configure(struct patroni *p, const char *const *urls, size_t count,
		       unsigned timeout_ms, struct tls_context *tls);
/* Starts a round unless one is under way. */
void patroni_ask(struct patroni *p);

#endif
