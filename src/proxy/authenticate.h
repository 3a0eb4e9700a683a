/* SPDX-License-Identifier: PostgreSQL */
/*
 * Whether a client is who it says: by auth_type or the rules of an HBA file, by
 * the secret of auth_file or auth_query, by a certificate or the Unix socket.
 * Ends in login_authenticated, or in the client's end.
 */
#ifndef WEIR_PROXY_AUTHENTICATE_H
#define WEIR_PROXY_AUTHENTICATE_H

#include "base/slice.h"

struct client;
struct login;

void authenticate(struct client *c); /* user, database and options are known */
size_t authenticate_bytes(struct client *c, struct slice bytes); /* returns what it consumed */
void authenticate_forget(struct login *l); /* wipes secrets */

#endif
