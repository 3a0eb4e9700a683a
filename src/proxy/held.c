/* SPDX-License-Identifier: PostgreSQL */
/*
 * Copies of running requests. Only whole requests at the start of a
 * transaction are held: anything later depends on what its server already did.
 */
#include "proxy/held.h"

#include "base/mem.h"

static struct held_request *block_take(struct proxy *p, size_t len)
{
	size_t cap = len <= HELD_BLOCK_BYTES ? HELD_BLOCK_BYTES : len;
	struct held_request *h;
	struct list_node *n;

	if (cap == HELD_BLOCK_BYTES && (n = list_pop(&p->spare_requests)) != NULL)
		return list_entry(n, struct held_request, node);
	h = mem_alloc(sizeof *h + cap);
	h->node = (struct list_node){ 0 };
	h->cap = cap;
	return h;
}

/* In session mode it keeps what code of its own did to the server unseen. */
static bool is_bound(const struct client *c)
{
	return c->pins || (c->tenant->pool_mode == POOL_MODE_SESSION &&
			   c->server->unsure_client == c->id);
}

void held_take(struct client *c, const struct request *req)
{
	bool is_whole = !req->missing && (req->kind == REQUEST_QUERY || req->has_sync);
	struct held_request *h;

	if (c->held || !is_whole || req->bytes.len > HELD_MAX_BYTES || is_bound(c) ||
	    (c->txn.state != TXN_IDLE && c->txn.state != TXN_DEFERRED))
		return;
	h = block_take(c->proxy, req->bytes.len);
	h->len = req->bytes.len;
	h->kind = req->kind;
	h->has_sync = req->has_sync;
	h->txn_before = c->txn;
	memcpy(h->data, req->bytes.ptr, req->bytes.len);
	c->held = h;
}

void held_release(struct client *c)
{
	struct held_request *h = c->held;
	struct list *spare = &c->proxy->spare_requests;

	c->held = NULL;
	if (!h)
		return;
	if (h->cap == HELD_BLOCK_BYTES && spare->count < HELD_SPARE_MAX)
		list_prepend(spare, &h->node);
	else
		mem_free(h);
}

struct request held_request(struct client *c)
{
	struct held_request *h = c->held;
	char *copy;

	WEIR_ASSERT(h != NULL);
	copy = loop_turn_alloc(c->proxy->loop, h->len);
	memcpy(copy, h->data, h->len);
	return (struct request){
		.kind = h->kind,
		.bytes = slice_of(copy, h->len),
		.has_sync = h->has_sync,
	};
}

void held_free_spares(struct proxy *p)
{
	struct list_node *n;

	while ((n = list_pop(&p->spare_requests)) != NULL)
		mem_free(list_entry(n, struct held_request, node));
}
