/* SPDX-License-Identifier: PostgreSQL */
/*
 * Session tracking: what a request does to settings, pins and prepared
 * statements, staged when it is sent and made real when it succeeded. A rolled
 * back SET is rolled back here too.
 */
#ifndef WEIR_PROXY_TRACK_H
#define WEIR_PROXY_TRACK_H

#include "proxy/client.h"
#include "proxy/plan.h"

void track_request_sent(struct client *c, const struct plan *plan);
/* A reported setting changed: if no statement said so, a function did; only its server knows. */
void track_hidden_change(struct client *c);
/* One ReadyForQuery of the client's came. */
void track_ready(struct client *c, struct server *s, char status);
/* The last one came: statistics, pins, invalidation. */
void track_request_done(struct client *c, struct server *s);
/* The transaction is gone with its server. */
void track_lost(struct client *c);
/* True while a further request mustn't overtake: its meaning depends on this one's outcome. */
bool track_is_staged(const struct client *c);

#endif
