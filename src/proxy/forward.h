/* SPDX-License-Identifier: PostgreSQL */
/*
 * Sends a request to the linked server: session settings and a deferred BEGIN
 * in front of it, pipelined; named statements under pgweir's names; the reply
 * script set up for what will come back.
 */
#ifndef WEIR_PROXY_FORWARD_H
#define WEIR_PROXY_FORWARD_H

#include "proxy/client.h"
#include "proxy/plan.h"

void forward_request(struct client *c, const struct request *req, const struct plan *plan);
/* The request is a BEGIN that was answered here: it is kept, with the portal that it ran in. */
void forward_defer_begin(struct client *c, const struct request *req, const struct plan *plan);
/* Its transaction, begun elsewhere, is to be begun where the next request goes. */
void forward_begin_anew(struct client *c);
/* COPY data, or the rest of a long message. */
void forward_bytes(struct client *c, struct slice bytes);
/* Brings the server's settings to the client's. True: something was sent. */
bool forward_session_sync(struct client *c);
/* It uses currval or lastval, and what this server has of them may be another client's. */
bool forward_reads_foreign_sequence(const struct client *c, const struct plan *plan);
/* It moves a sequence, and values of others are discarded in front of it. */
bool forward_takes_sequences_over(const struct client *c, const struct plan *plan);

#endif
