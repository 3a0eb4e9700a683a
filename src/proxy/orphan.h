/* SPDX-License-Identifier: PostgreSQL */
/*
 * Orphans: requests that may write, whose server connection is given up before
 * their answer came. PostgreSQL runs them to their end all the same and may
 * commit them, after the cache was told of what they change. So the connection
 * isn't closed but ended on our side only: PostgreSQL closes its own when
 * everything that was sent is done or undone, and then the cache is told again.
 *
 *   proxy: orphan_leave ---> our end of the stream ---> PostgreSQL's ---> cache
 *
 * The worker's own thread. See ADR 0021.
 */
#ifndef WEIR_PROXY_ORPHAN_H
#define WEIR_PROXY_ORPHAN_H

#include "proxy/client.h"

struct server;

/*
 * Before `s` is closed, whose requests are the client's; also where it is lost. If one of them may
 * still be committed, the connection lives on without `s`; else nothing happens.
 */
void orphan_leave(struct client *c, struct server *s);
void orphan_close_all(struct proxy *p);

#endif
