/* SPDX-License-Identifier: PostgreSQL */
/*
 * A master as one worker knows it: the link to it, and the changes that are on
 * their way there. Private to cache/; the worker's thread.
 */
#ifndef WEIR_CACHE_NODE_H
#define WEIR_CACHE_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"
#include "cache/greet.h"
#include "cache/link.h"
#include "cache/slots.h"
#include "net/loop.h"

struct cache_worker;

/* Changes on their way to one node. */
struct publisher {
	struct map dirty; /* the waiting ones by name */
	struct list waiting;
	struct list flying; /* sent, not yet acknowledged */
	struct link_request request;
	struct list_node *cursor; /* the flying change of the next reply; NULL: the message's */
	bool is_asked;            /* the reply to its ASKING has come */
	bool has_failed;          /* one of the replies was an error */
};

/* A master as one worker knows it (node.c). */
struct node {
	struct list_node list_node; /* in worker.nodes */
	struct cache_worker *worker; /* borrowed: owns us */
	struct link link;
	struct link_options options;
	struct publisher publisher;
	struct greet last;  /* who it was when it was ready last */
	bool was_known;     /* ... and that it was */
	bool is_up;         /* as told to the map's node */
	unsigned index;     /* in the worker's map; SLOTS_NONE: known by a redirection only */
	struct loop_deferred deferred;
	char host[SLOTS_HOST_MAX + 1], name[SLOTS_HOST_MAX + 1];
};

struct node *node_of_key(struct cache_worker *w, struct slice key); /* NULL: nobody serves it */
/* Who a redirection by `from` names; NULL: there are too many. */
struct node *node_of_redirect(struct node *from, const struct redirect *r);
void nodes_adopt(struct cache_worker *w, struct slots **slots); /* consumed */
void nodes_close(struct cache_worker *w);
/* A link's host, as a number or a path if it is one, else for the resolver. */
void node_set_host(struct link_options *o, const char *host, uint16_t port);

#endif
