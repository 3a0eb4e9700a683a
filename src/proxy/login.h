/* SPDX-License-Identifier: PostgreSQL */
/*
 * A client's log-in: TLS request, startup message, authentication, and the
 * welcome - the parameters a server reports for exactly these start-up
 * settings, learnt from a server the first time they are seen.
 */
#ifndef WEIR_PROXY_LOGIN_H
#define WEIR_PROXY_LOGIN_H

#include "proxy/client.h"

size_t login_bytes(void); /* of a struct login, for its slab */
void login_begin(struct client *c, bool is_unix);
size_t login_on_bytes(struct client *c, struct slice bytes);
/* The client began with a TLS handshake, unasked (PostgreSQL 17, section 55.2.10). */
void login_tls_hello(struct client *c);
void login_tls_ready(struct client *c);
/* What auth_query gave: the user's secret, empty if there is none; or it couldn't be asked. */
void login_secret(struct client *c, struct slice secret);
void login_secret_failed(struct client *c);
/* The server that the welcome waits for was granted; or there is none: choose again. */
void login_granted(struct client *c);
/* The server has taken the start-up settings. */
void login_synced(struct client *c);
void login_end(struct client *c); /* frees what only the log-in needed */

#endif
