/* SPDX-License-Identifier: PostgreSQL */
/*
 * Reported parameters (ParameterStatus) that no session set: what the server has of its
 * configuration, of ALTER ROLE and of ALTER DATABASE. PostgreSQL reports a change of them to
 * whoever asks it next; here that may be pgweir itself, or another client, and a newer connection
 * may have other ones. So each client remembers those that it was told, and is told the
 * difference with its next answer from a server that has others.
 * Servers with the same values share one set: it costs an answer one comparison of pointers.
 */
#ifndef WEIR_PROXY_DEFAULTS_H
#define WEIR_PROXY_DEFAULTS_H

#include "base/slice.h"
#include "proxy/client.h"

void defaults_opened(struct server *s); /* it is logged in; no client had it yet */
void defaults_moved(struct server *s);  /* to another worker */
/* The server reported this (the body of ParameterStatus), and no session was the cause. */
void defaults_heard(struct server *s, struct slice body);
void defaults_passed(struct client *c, struct slice body); /* likewise, and its client hears it */
void defaults_tell(struct client *c);   /* what the linked server has otherwise */

#endif
