/* SPDX-License-Identifier: PostgreSQL */
/*
 * See orphan.h. An orphan owns the socket and what the cache is to hear. What
 * comes is dropped unread, under TLS too: only its end says something, and
 * that is the end of the PostgreSQL process, behind its last commit.
 */
#include "proxy/orphan.h"

#include "base/log.h"
#include "base/mem.h"
#include "cache/cache.h"
#include "pool/server.h"
#include "proxy/cached.h"
#include "proxy/tenant.h"

enum { ORPHAN_MAGIC = 0x4f525048 };

struct orphan {
	unsigned magic;
	struct conn conn;
	struct list_node node; /* in proxy->orphans */
	struct proxy *proxy;   /* borrowed */
	char *scope, *database; /* owned: of the tenant, which may be forgotten meanwhile */
	struct cache_deps writes; /* its database is `scope` */
	uint64_t generation;      /* of the catalog that has its tables */
	struct loop_deferred deferred;
};

static struct orphan *orphan_of(struct conn *conn)
{
	struct orphan *o = list_entry(conn, struct orphan, conn);

	WEIR_CHECK_MAGIC(o, ORPHAN_MAGIC);
	return o;
}

static void on_deferred_free(struct loop_deferred *deferred)
{
	struct orphan *o = list_entry(deferred, struct orphan, deferred);

	mem_free(o->scope);
	mem_free(o->database);
	mem_free(o);
}

static void orphan_end(struct orphan *o)
{
	struct proxy *p = o->proxy;

	conn_close(&o->conn);
	list_remove(&p->orphans, &o->node);
	metrics_set(p->metrics, METRIC_ORPHANS, p->orphans.count);
	atomic_fetch_sub(&p->shared->orphan_count, 1);
	o->magic = 0;
	o->deferred.run = on_deferred_free;
	loop_defer(p->loop, &o->deferred);
}

static size_t on_bytes(struct conn *conn, struct slice bytes)
{
	(void)conn;
	return bytes.len;
}

static void on_closed(struct conn *conn, enum weir_err why)
{
	struct orphan *o = orphan_of(conn);
	struct proxy *p = o->proxy;

	log_debug("orphan_ended", "db=%s why=\"%s\"", o->database, weir_err_text(why));
	if (cached_is_renamed(proxy_catalog(p, o->database), o->generation))
		o->writes.table_count = 0; /* all of the database */
	cache_invalidate(p->cache, &o->writes);
	if (o->writes.is_ddl)
		p->shared->hooks->catalog_stale(p->shared->hooks_ctx, o->database);
	orphan_end(o);
}

static const struct conn_ops orphan_ops = { .on_bytes = on_bytes, .on_closed = on_closed };

void orphan_leave(struct client *c, struct server *s)
{
	struct proxy *p = c->proxy;
	struct cache_deps writes;
	struct orphan *o;

	if (!c->may_commit || !replies_count(&s->replies) || !conn_is_open(&s->conn) ||
	    !cached_writes(c, &writes))
		return;
	log_debug("orphan_left", "id=%llu server=%llu", (unsigned long long)c->id,
		  (unsigned long long)s->id);
	o = mem_zalloc(sizeof *o);
	o->magic = ORPHAN_MAGIC;
	o->proxy = p;
	o->scope = mem_strdup(c->tenant->scope);
	o->database = mem_strdup(c->tenant->database);
	o->writes = writes;
	o->writes.database = slice_str(o->scope);
	o->generation = c->writes->generation;
	list_append(&p->orphans, &o->node);
	metrics_set(p->metrics, METRIC_ORPHANS, p->orphans.count);
	atomic_fetch_add(&p->shared->orphan_count, 1);
	conn_open(&o->conn, p->loop, conn_leave(&s->conn), &orphan_ops, &p->server_limits);
}

void orphan_close_all(struct proxy *p)
{
	struct list_node *n;

	while ((n = list_first(&p->orphans)) != NULL)
		orphan_end(list_entry(n, struct orphan, node));
}
