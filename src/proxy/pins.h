/* SPDX-License-Identifier: PostgreSQL */
/*
 * What ties a client to its server, counted by reason, and what the operator
 * wants of it (the options pin_<reason>). What a function does inside, or a
 * statement that isn't understood, can only be noticed: it pins under any policy.
 */
#ifndef WEIR_PROXY_PINS_H
#define WEIR_PROXY_PINS_H

#include "proxy/client.h"
#include "proxy/plan.h"
#include "proxy/request.h"
#include "wire/backend.h"

/* True: the request would pin, and that is refused; the client has its error. */
bool pins_refuse(struct client *c, const struct request *req, const struct plan *plan);
/* The same behind the parts of a batch that a server has: it answers, see pins_take_refusal. */
bool pins_refuse_in_batch(struct client *c, const struct request *req, const struct plan *plan);
/* True: the server's error stands for such a refusal, which is *out. */
bool pins_take_refusal(const struct msg_error *from, struct pg_error *out);
/* Before it is sent: the client hears, and the log, of reasons to warn of. */
void pins_warn(struct client *c, const struct plan *plan);
/* They hold from now on. */
void pins_add(struct client *c, uint32_t pins);

#endif
