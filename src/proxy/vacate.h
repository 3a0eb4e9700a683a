/* SPDX-License-Identifier: PostgreSQL */
/*
 * DROP DATABASE, RENAME and copies want a database without sessions. A client
 * that has disconnected leaves none on a direct connection; here its server may
 * idle for the next one. Those are closed on all workers when such a statement
 * goes to its server: PostgreSQL waits some seconds for sessions that are going.
 * Where clients are still connected nothing is closed until they have gone, and
 * PostgreSQL refuses unless that is soon.
 * What was learnt from log-ins, that it is there or that it isn't, is forgotten.
 */
#ifndef WEIR_PROXY_VACATE_H
#define WEIR_PROXY_VACATE_H

#include "proxy/client.h"
#include "proxy/plan.h"

void vacate_for(struct client *c, const struct plan *plan);
/* A client of this one isn't counted any more. */
void vacate_client_gone(struct tenant *t);

#endif
