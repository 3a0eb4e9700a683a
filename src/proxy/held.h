/* SPDX-License-Identifier: PostgreSQL */
/*
 * A held request: a copy of what was sent, kept until its answer begins, so
 * that it can be sent again to another node. Ordinary ones fit in a block
 * that the proxy reuses.
 */
#ifndef WEIR_PROXY_HELD_H
#define WEIR_PROXY_HELD_H

#include "proxy/client.h"
#include "proxy/request.h"

enum { HELD_BLOCK_BYTES = 2048, HELD_MAX_BYTES = 64 * 1024, HELD_SPARE_MAX = 256 };

struct held_request {
	struct list_node node;  /* in proxy->spare_requests while spare */
	size_t cap;
	size_t len;
	enum request_kind kind;
	bool has_sync;
	struct txn txn_before;  /* of the client, before the request was sent */
	char data[];
};

/* Copies the request if it can be repeated at all; else holds nothing. */
void held_take(struct client *c, const struct request *req);
void held_release(struct client *c);
/* The held request in turn memory. */
struct request held_request(struct client *c);
void held_free_spares(struct proxy *p);

#endif
