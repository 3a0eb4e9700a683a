/* SPDX-License-Identifier: PostgreSQL */
/*
 * The masters as one worker knows them: a link to each, opened when it is
 * needed first, and the map that says whose a key is. A new map (discover.c)
 * keeps the links of the masters that stay and closes the others; what was
 * under way on those is owed.
 *
 * The listener opens all of them at once, so that within a second somebody in
 * the process notices when a master is none any more. The worker's thread.
 */
#include "base/mem.h"
#include "cache/shared.h"

#include <netdb.h>
#include <stdio.h>
#include <sys/un.h>

#include "base/log.h"

enum { NODES_MAX = 2 * SLOTS_NODES_MAX };

static struct node *node_of(struct link *link)
{
	return (struct node *)(void *)((char *)link - offsetof(struct node, link));
}

/* --- marks for cache_stats -------------------------------------------------------- */

static void mark(struct node *n, const struct slots *slots, int by)
{
	struct slots_node *shared;

	if (n->index == SLOTS_NONE)
		return;
	shared = (struct slots_node *)(uintptr_t)&slots->nodes[n->index];
	atomic_fetch_add_explicit(&shared->links_open, (uint32_t)by, memory_order_relaxed);
	if (n->is_up)
		atomic_fetch_add_explicit(&shared->links_up, (uint32_t)by, memory_order_relaxed);
}

static void note_worker_up(struct cache_worker *w)
{
	bool is_up = w->slots != NULL;

	list_foreach(&w->nodes, l)
		is_up &= list_entry(l, struct node, list_node)->is_up;
	atomic_store_explicit(&w->is_up, is_up, memory_order_relaxed);
}

static void set_up(struct node *n, bool is_up)
{
	struct cache_worker *w = n->worker;

	mark(n, w->slots, -1);
	n->is_up = is_up;
	mark(n, w->slots, 1);
	note_worker_up(w);
}

/* --- what its link tells ----------------------------------------------------------- */

/* Another server at the address, or it was promoted anew: what it was told may be lost. */
static bool is_another(const struct node *n)
{
	return n->was_known && (strcmp(n->last.run_id, n->link.greet.run_id) != 0 ||
	                        strcmp(n->last.replid, n->link.greet.replid) != 0);
}

static void on_ready(struct link *link)
{
	struct node *n = node_of(link);

	if (is_another(n))
		publish_owe(n->worker->cache);
	n->last = link->greet;
	n->was_known = true;
	set_up(n, true);
	publish_node_ready(n);
}

static void on_down(struct link *link, bool was_ready)
{
	struct node *n = node_of(link);
	struct cache_worker *w = n->worker;

	set_up(n, false);
	if (was_ready)
		worker_count(w, COUNT_BREAKER_OPENS);
	publish_node_down(n);
	if (link->greet.is_replica && w->is_listener)
		listen_restart(w, n->host, n->options.port);
	discover_want(w);
}

static void on_beat(struct link *link)
{
	publish_settle(node_of(link)->worker);
}

static const struct link_ops node_ops = {
	.on_ready = on_ready,
	.on_down = on_down,
	.on_beat = on_beat,
};

/* --- a node's life ------------------------------------------------------------------ */

static void unix_address(const char *path, struct link_options *o)
{
	struct sockaddr_un *un = (struct sockaddr_un *)(void *)&o->addr;

	if (strlen(path) >= sizeof un->sun_path) {
		log_error("redis_path_too_long", "path=%s", path);
		return;
	}
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path, strlen(path) + 1);
	o->addr_len = sizeof *un;
}

/* Numbers and paths now; names by the resolver at every connect, or here where there is none. */
void node_set_host(struct link_options *o, const char *host, uint16_t port)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	char text[8];

	o->host = o->tls_name = host;
	o->port = port;
	o->addr_len = 0;
	if (host[0] == '/') {
		unix_address(host, o);
		return;
	}
	snprintf(text, sizeof text, "%u", (unsigned)port);
	if (o->resolver)
		hints.ai_flags = AI_NUMERICHOST;
	if (getaddrinfo(host, text, &hints, &found) == 0) {
		memcpy(&o->addr, found->ai_addr, found->ai_addrlen);
		o->addr_len = found->ai_addrlen;
		freeaddrinfo(found);
	} else if (!o->resolver) {
		log_error("redis_host_unknown", "host=%s", host);
	}
}

static struct node *node_create(struct cache_worker *w, const char *host, const char *name,
                                uint16_t port)
{
	struct node *n = mem_zalloc(sizeof *n);

	n->worker = w;
	n->index = SLOTS_NONE;
	n->options = w->cache->link;
	snprintf(n->host, sizeof n->host, "%s", host);
	snprintf(n->name, sizeof n->name, "%s", name);
	node_set_host(&n->options, n->host, port);
	if (n->name[0])
		n->options.tls_name = n->name;
	publish_init(&n->publisher);
	list_append(&w->nodes, &n->list_node);
	return n;
}

static void node_free_deferred(struct loop_deferred *deferred)
{
	mem_free(list_entry(deferred, struct node, deferred));
}

/* The memory stays until the end of the turn. */
static void node_close(struct node *n)
{
	link_close(&n->link);
	publish_node_down(n);
	publish_fini(n);
}

static struct node *find(struct cache_worker *w, struct slice host, uint16_t port)
{
	list_foreach (&w->nodes, l) {
		struct node *n = list_entry(l, struct node, list_node);

		if (n->options.port == port && slice_is(host, n->host))
			return n;
	}
	return NULL;
}

static struct node *node_at(struct cache_worker *w, unsigned index)
{
	const struct slots_node *in_map = &w->slots->nodes[index];
	struct node *n = w->by_index[index];

	if (n)
		return n;
	n = node_create(w, in_map->host, in_map->name, in_map->port);
	n->index = index;
	w->by_index[index] = n;
	mark(n, w->slots, 1);
	note_worker_up(w);
	link_open(&n->link, w->mailbox, w->loop, &n->options, &node_ops);
	return n;
}

struct node *node_of_key(struct cache_worker *w, struct slice key)
{
	unsigned index = 0;

	if (!w->slots)
		return NULL;
	if (w->slots->is_cluster)
		index = slots_owner(w->slots, slots_of_key(key));
	return index == SLOTS_NONE ? NULL : node_at(w, index);
}

struct node *node_of_redirect(struct node *from, const struct redirect *r)
{
	struct cache_worker *w = from->worker;
	struct slice host = r->host.len ? r->host : slice_str(from->host);
	unsigned index = slots_find(w->slots, host, r->port);
	struct node *n = find(w, host, r->port);
	char text[SLOTS_HOST_MAX + 1];

	if (n)
		return n;
	if (index != SLOTS_NONE)
		return node_at(w, index);
	if (w->nodes.count >= NODES_MAX || w->is_closing)
		return NULL;
	memcpy(text, host.ptr, host.len); /* bounded by redirect_parse */
	text[host.len] = '\0';
	n = node_create(w, text, "", r->port);
	note_worker_up(w);
	link_open(&n->link, w->mailbox, w->loop, &n->options, &node_ops);
	return n;
}

/* --- a new map ------------------------------------------------------------------------ */

static void place(struct node *n, struct slots *slots, unsigned index)
{
	mark(n, n->worker->slots, -1);
	n->index = index;
	if (index == SLOTS_NONE)
		return;
	mark(n, slots, 1);
	n->worker->by_index[index] = n;
}

static void close_gone(struct cache_worker *w, struct list *gone)
{
	struct list_node *l;

	while ((l = list_pop(gone))) {
		struct node *n = list_entry(l, struct node, list_node);

		node_close(n);
		n->deferred.run = node_free_deferred;
		loop_defer(w->loop, &n->deferred);
	}
}

void nodes_adopt(struct cache_worker *w, struct slots **slots)
{
	struct slots *now = *slots;
	struct list gone;

	*slots = NULL;
	list_init(&gone);
	memset(w->by_index, 0, sizeof w->by_index);
	list_foreach_safe(&w->nodes, l, next)
	{
		struct node *n = list_entry(l, struct node, list_node);
		unsigned index = slots_find(now, slice_str(n->host), n->options.port);

		place(n, now, index);
		if (index != SLOTS_NONE)
			continue;
		list_remove(&w->nodes, l);
		list_append(&gone, l);
	}
	slots_put(&w->slots);
	w->slots = now;
	close_gone(w, &gone);
	for (unsigned i = 0; i < now->node_count && (!now->is_cluster || w->is_listener); i++)
		node_at(w, i);
	note_worker_up(w);
	publish_settle(w);
}

void nodes_close(struct cache_worker *w)
{
	struct list_node *l;

	while ((l = list_pop(&w->nodes))) {
		struct node *n = list_entry(l, struct node, list_node);

		mark(n, w->slots, -1);
		n->index = SLOTS_NONE;
		node_close(n);
		mem_free(n);
	}
	slots_put(&w->slots);
}
