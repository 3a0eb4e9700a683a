/* SPDX-License-Identifier: PostgreSQL */
/*
 * Servers whose host name means other addresses by now: they are retired, as
 * PgBouncer does. Own thread.
 */
#ifndef WEIR_PROXY_HOSTS_H
#define WEIR_PROXY_HOSTS_H

struct proxy;

/* Once a second. */
void hosts_follow(struct proxy *p);

#endif
