/* SPDX-License-Identifier: PostgreSQL */
/*
 * A small asynchronous HTTP GET (Patroni's REST API). One request per
 * connection, bounded in time and size; answers come from the loop. http, and
 * https with a client-side TLS context. The loop's thread only.
 */
#ifndef WEIR_NET_HTTP_CLIENT_H
#define WEIR_NET_HTTP_CLIENT_H

#include "base/assert.h"
#include "base/err.h"
#include "base/slice.h"
#include "net/loop.h"

struct http_get;
struct mailbox;
struct resolver;
struct tls_context;

/* err WEIR_OK: a status came, whatever it is. Else status is 0 and the body empty. */
typedef void http_get_done_fn(void *arg, enum weir_err err, int status, struct slice body);

struct http_get_options {
	const char *url;           /* http[s]://host[:port]/path; borrowed for the call */
	unsigned timeout_ms;       /* look-up, connect and answer together */
	size_t max_body_bytes;     /* a longer body is WEIR_ERR_LIMIT */
	struct resolver *resolver; /* NULL: only numeric hosts */
	struct mailbox *mailbox;   /* of the same loop, for the resolver */
	struct tls_context *tls;   /* counted by the request; NULL: https is refused */
	http_get_done_fn *on_done;
	void *arg;
};

/* on_done is called once, never from inside this call, unless cancelled. Refused: *get is NULL. */
enum weir_err http_get_start(struct loop *loop, const struct http_get_options *options,
                             struct http_get **get) WEIR_MUST_CHECK;
void http_get_cancel(struct http_get *get); /* before on_done */

#endif
