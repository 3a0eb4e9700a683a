/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the log says of a client's coming and going: who, from where, and why it
 * ended. The client's worker only.
 */
#ifndef WEIR_PROXY_CLIENT_LOG_H
#define WEIR_PROXY_CLIENT_LOG_H

#include "metrics/close_reasons.h"

struct client;

void client_log_login(const struct client *c);
/* Always logged: it is what a search for break-ins begins with. */
void client_log_refused(const struct client *c, const char *sqlstate, const char *message);
void client_log_closed(const struct client *c, enum close_reason reason);

#endif
