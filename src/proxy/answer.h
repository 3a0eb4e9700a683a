/* SPDX-License-Identifier: PostgreSQL */
/*
 * What servers send after log-in: cut into messages, checked against the reply
 * script, passed on to the client in as few spans as possible, and the end of
 * each request handled.
 */
#ifndef WEIR_PROXY_ANSWER_H
#define WEIR_PROXY_ANSWER_H

#include "proxy/client.h"

/* The on_bytes of a server connection that is logged in. */
size_t answer_bytes(struct server *s, struct slice bytes);

#endif
