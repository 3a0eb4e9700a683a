/* SPDX-License-Identifier: PostgreSQL */
/*
 * Only whole, plain requests of one cacheable statement outside transactions
 * take part: a simple Query, or Parse? Bind Describe? Execute Sync. Everything
 * that could change the result is in the key; the statement and its tables were
 * judged by the catalog.
 */
#include "proxy/cached.h"

#include "base/mem.h"
#include "cache/cache.h"
#include "pool/session.h"
#include "proxy/link.h"
#include "proxy/serve.h"
#include "route/judge.h"
#include "sql/shape.h"
#include "tier/catalog.h"
#include "wire/backend.h"
#include "wire/build.h"
#include "wire/frame.h"
#include "wire/frontend.h"

enum { CACHE_SETTINGS_MAX = 16384, CACHE_COLLECT_SLACK = 4096 };

enum cached_state {
	CACHED_OFF,
	CACHED_LOOKING,  /* Redis is asked */
	CACHED_MISSED,   /* the look-up is done, the request is served again to be routed */
	CACHED_FOUND,    /* ... and has an entry */
	CACHED_FILLING,
};

struct cached_request {
	enum cached_state state;
	struct cache_lookup lookup;
	struct cache_fill fill;
	struct cache_entry *entry; /* counted: FOUND */
	struct client *client;     /* borrowed: owns us */
	uint64_t fresh_as_of_us;
	bool has_failed;           /* what was collected can't be stored */
	struct buf answer;
};

static bool is_plain_request(const struct request *req, const struct plan *plan)
{
	if (req->kind == REQUEST_QUERY)
		return !req->missing;
	return req->kind == REQUEST_EXTENDED && req->has_sync && plan->has_bind &&
	       plan->has_execute && !plan->has_named_parse && !plan->describes_statement;
}

/* A parameter that may mean a moving moment, 'today': its result is another one tomorrow. */
static bool has_moment_param(const struct plan *plan)
{
	struct msg_bind m;
	struct slice rest, value;
	bool is_null;

	if (!plan->only_bind.len || frontend_read_bind(plan->only_bind, &m) != WEIR_OK)
		return false;
	rest = m.params;
	while (bind_param_next(&rest, &value, &is_null))
		if (shape_names_moment(value))
			return true;
	return false;
}

static bool is_wanted(const struct client *c, const struct plan *plan)
{
	const struct statement_hints *h = &plan->only->hints;

	if (h->cache == HINT_CACHE_OFF || c->must_use_primary || c->retries ||
	    c->heals)
		return false;
	if (h->cache == HINT_CACHE_ON)
		return true;
	return c->tenant->db->cache && serve_level(c) != CONSISTENCY_STRONG;
}

static bool is_candidate(const struct client *c, const struct request *req,
			 const struct plan *plan)
{
	if (!c->tenant->has_cache || !plan->only || !(plan->only_verdict & VERDICT_CACHEABLE) ||
	    c->txn.state != TXN_IDLE || c->pins || !c->tenant->catalog)
		return false;
	if (!is_wanted(c, plan) || !is_plain_request(req, plan))
		return false;
	return req->kind == REQUEST_QUERY ||
	       (request_is_plain_batch(req->bytes) && !has_moment_param(plan));
}

static void append_settings(struct buf *b, const struct client *c, bool has_description)
{
	buf_append_u8(b, has_description ? 'D' : '-');
	for (size_t i = 0; i < session_count(c->session); i++) {
		const char *name = session_name(c->session, i);
		const char *value = session_value(c->session, i);

		if (strcmp(name, "application_name") == 0)
			continue;
		buf_append(b, name, strlen(name) + 1);
		buf_append(b, value, strlen(value) + 1);
	}
}

static bool is_all_text(struct slice formats)
{
	for (size_t i = 0; i < formats.len; i++)
		if (formats.ptr[i])
			return false;
	return true;
}

static void bind_key_parts(const struct plan *plan, struct cache_key_parts *parts)
{
	struct msg_bind m;

	if (!plan->only_bind.len || frontend_read_bind(plan->only_bind, &m) != WEIR_OK)
		return;
	/* No parameters and all text: the same result as by simple query. */
	if (m.param_count == 0 && is_all_text(m.result_formats))
		return;
	parts->types = plan->only_types;
	/* formats and values in one piece, as they stand behind the statement's name */
	parts->params = slice_of(m.after_statement.ptr,
				 m.after_statement.len - m.result_formats.len);
	parts->formats = m.result_formats;
}

static bool make_key(const struct client *c, const struct request *req, const struct plan *plan,
		     struct hash128 *key)
{
	struct tenant *t = c->tenant;
	struct cache_key_parts parts = {
		.cluster = slice_str(t->db->cluster->name),
		.database = tenant_server_dbname(t),
		.role = tenant_server_user(t),
		.sql = plan->only_text,
	};
	struct buf settings;
	bool is_ok;

	buf_init(&settings, CACHE_SETTINGS_MAX);
	append_settings(&settings, c, req->kind == REQUEST_QUERY || plan->has_describe);
	parts.settings = buf_slice(&settings);
	bind_key_parts(plan, &parts);
	is_ok = settings.err == WEIR_OK;
	if (is_ok)
		*key = cache_key(&parts);
	buf_fini(&settings);
	return is_ok;
}

static bool make_deps(const struct client *c, const struct plan *plan, struct cache_deps *deps)
{
	struct judge_tables reads;

	judge_reads(plan->only, c->tenant->catalog, &reads);
	if (reads.is_unknown || reads.count > CACHE_TABLES_MAX)
		return false;
	deps->database = slice_str(c->tenant->scope);
	deps->table_count = reads.count;
	memcpy(deps->tables, reads.oids, reads.count * sizeof reads.oids[0]);
	return true;
}

/* The answer to the batch from the parts of an entry. */
static void send_entry(struct client *c, const struct request *req, struct cache_entry *e)
{
	struct slice rest = req->bytes;
	struct frame f;
	size_t used;

	if (req->kind == REQUEST_QUERY) {
		conn_send_copy(&c->conn, cache_entry_description(e));
		conn_send_copy(&c->conn, cache_entry_rows(e));
	}
	while (req->kind == REQUEST_EXTENDED && rest.len &&
	       frame_next(rest, SIZE_MAX, &f, &used) == WEIR_OK) {
		if (f.type == FE_PARSE)
			conn_send(&c->conn, wire_parse_complete);
		else if (f.type == FE_BIND)
			conn_send(&c->conn, wire_bind_complete);
		else if (f.type == FE_DESCRIBE)
			conn_send_copy(&c->conn, cache_entry_description(e));
		else if (f.type == FE_EXECUTE)
			conn_send_copy(&c->conn, cache_entry_rows(e));
		rest = slice_of(rest.ptr + used, rest.len - used);
	}
	client_send_ready(c);
}

static void answer_from(struct client *c, const struct request *req, struct cache_entry **e,
			bool from_redis)
{
	struct db_stats *st = c->tenant->stats;

	send_entry(c, req, *e);
	session_hit_done(&c->reads, cache_entry_stored_us(*e));
	cache_entry_put(e);
	stat_add(from_redis ? &st->cache_hits_redis : &st->cache_hits_local, 1);
	stat_add(&st->query_count, 1);
	stat_add(&st->xact_count, 1);
	client_settle(c);
}

static void on_looked_up(struct cache_lookup *lookup, enum cache_result result,
			 struct cache_entry *entry)
{
	struct cached_request *r = list_entry(lookup, struct cached_request, lookup);
	struct client *c = r->client;

	r->state = result == CACHE_HIT ? CACHED_FOUND : CACHED_MISSED;
	r->entry = entry;
	client_set_state(c, CLIENT_IDLE);
	link_make_ready(c);
}

static struct cached_request *request_of(struct client *c)
{
	if (!c->cached) {
		c->cached = mem_zalloc(sizeof *c->cached);
		c->cached->client = c;
		buf_init(&c->cached->answer,
			 c->proxy->settings->config->global.cache_entry_max_bytes +
				 CACHE_COLLECT_SLACK);
	}
	return c->cached;
}

/*
 * The request that was looked up, or another one? A request can fail between its
 * look-up and its answer (no server to be had); what was begun for it ends here.
 */
static bool is_same_request(const struct client *c, const struct request *req,
			    const struct plan *plan, const struct cached_request *r)
{
	struct hash128 key;

	return is_candidate(c, req, plan) && make_key(c, req, plan, &key) &&
	       key.hi == r->fill.key.hi && key.lo == r->fill.key.lo;
}

/* Redis has answered, or a server is to be had: the request comes by again. */
static enum cached_step second_step(struct client *c, const struct request *req,
				    struct cached_request *r)
{
	if (r->state == CACHED_FOUND) {
		r->state = CACHED_OFF;
		answer_from(c, req, &r->entry, true);
		return CACHED_ANSWERED;
	}
	return CACHED_FORWARD;
}

static enum cached_step missed(struct client *c, struct cached_request *r)
{
	r->state = CACHED_MISSED;
	stat_add(&c->tenant->stats->cache_misses, 1);
	return CACHED_FORWARD;
}

enum cached_step cached_begin(struct client *c, const struct request *req,
			      const struct plan *plan)
{
	struct cached_request *r = c->cached;
	struct cache_entry *entry = NULL;
	struct cache_deps deps;
	struct hash128 key;
	uint64_t not_before;

	if (r && r->state != CACHED_OFF && !is_same_request(c, req, plan, r)) {
		cached_end(c);
		r = NULL;
	}
	if (r && r->state != CACHED_OFF)
		return second_step(c, req, r);
	if (!is_candidate(c, req, plan) || !make_deps(c, plan, &deps) ||
	    !make_key(c, req, plan, &key))
		return CACHED_FORWARD;
	r = request_of(c);
	r->lookup.on_done = on_looked_up;
	r->lookup.ttl_ms = plan->only->hints.cache_ttl_ms ?
				   plan->only->hints.cache_ttl_ms :
				   (uint32_t)(c->tenant->db->cache_ttl_us / 1000);
	not_before = c->writes ? UINT64_MAX : 0;
	switch (cache_lookup_start(c->proxy->cache, &r->lookup, &key, &deps, not_before, &r->fill,
				   &entry)) {
	case CACHE_HIT:
		answer_from(c, req, &entry, false);
		return CACHED_ANSWERED;
	case CACHE_PENDING:
		r->state = CACHED_LOOKING;
		client_set_state(c, CLIENT_WAIT_CACHE);
		return CACHED_WAITING;
	case CACHE_MISS:
		break;
	}
	return missed(c, r);
}

bool cached_is_busy(const struct client *c)
{
	return c->cached && c->cached->state != CACHED_OFF;
}

void cached_forwarded(struct client *c)
{
	struct cached_request *r = c->cached;
	const struct topology_node *node;

	if (!r || r->state != CACHED_MISSED)
		return;
	r->state = r->fill.is_admitted ? CACHED_FILLING : CACHED_OFF;
	r->has_failed = false;
	buf_clear(&r->answer);
	r->fresh_as_of_us = UINT64_MAX;
	if (tenant_pool_of(c->server->pool)->is_primary)
		return;
	node = tenant_node(c->tenant, c->server->pool->node_id);
	r->fresh_as_of_us = node ? atomic_load_explicit(&node->live->fresh_as_of_us,
							memory_order_relaxed) : 0;
}

void cached_collect(struct client *c, struct slice answer)
{
	struct cached_request *r = c->cached;

	if (!r || r->state != CACHED_FILLING || r->has_failed)
		return;
	buf_append_slice(&r->answer, answer);
	r->has_failed = r->answer.err != WEIR_OK;
}

/* Splits what the server sent into the parts of an entry. False: not of the plain shape. */
static bool split_answer(struct slice rest, struct slice *description, struct slice *rows)
{
	struct frame f;
	size_t used;

	*description = *rows = slice_of("", 0);
	while (rest.len && frame_next(rest, SIZE_MAX, &f, &used) == WEIR_OK) {
		switch (f.type) {
		case BE_PARSE_COMPLETE:
		case BE_BIND_COMPLETE:
			break;
		case BE_ROW_DESCRIPTION:
			*description = f.whole;
			break;
		case BE_DATA_ROW:
		case BE_COMMAND_COMPLETE:
			if (!rows->len)
				rows->ptr = f.whole.ptr;
			rows->len += used;
			break;
		case BE_READY:
			return rows->len != 0 && rest.len == used;
		default:
			return false;
		}
		rest = slice_of(rest.ptr + used, rest.len - used);
	}
	return false;
}

void cached_request_done(struct client *c, struct server *s)
{
	struct cached_request *r = c->cached;
	struct slice description, rows;

	(void)s;
	if (!r || r->state == CACHED_OFF)
		return;
	if (r->state == CACHED_FILLING && !r->has_failed &&
	    split_answer(buf_slice(&r->answer), &description, &rows))
		cache_store(c->proxy->cache, &r->fill, r->fresh_as_of_us, description, rows);
	r->state = CACHED_OFF;
	buf_fini(&r->answer);
}

void cached_end(struct client *c)
{
	struct cached_request *r = c->cached;

	c->cached = NULL;
	if (!r)
		return;
	if (r->state == CACHED_LOOKING)
		cache_lookup_cancel(&r->lookup);
	if (r->entry)
		cache_entry_put(&r->entry);
	buf_fini(&r->answer);
	mem_free(r);
}

static uint64_t generation_of(const struct catalog *catalog)
{
	return catalog ? catalog_generation(catalog) : 0;
}

void cached_note_writes(struct client *c, const struct plan *plan)
{
	uint64_t generation = generation_of(c->tenant->catalog);

	if (!c->tenant->has_cache || !plan->txn.may_write)
		return;
	if (!c->writes) {
		c->writes = mem_zalloc(sizeof *c->writes);
		c->writes->generation = generation;
	}
	judge_tables_add(&c->writes->tables, &plan->writes);
	c->writes->tables.is_unknown |= c->writes->generation != generation;
}

bool cached_is_renamed(const struct catalog *catalog, uint64_t generation)
{
	return generation_of(catalog) != generation;
}

bool cached_writes(const struct client *c, struct cache_deps *out)
{
	const struct judge_tables *w = c->writes ? &c->writes->tables : NULL;

	if (!w || (!w->is_unknown && !w->count))
		return false;
	*out = (struct cache_deps){ .database = slice_str(c->tenant->scope), .is_ddl = c->has_ddl };
	if (!w->is_unknown && !cached_is_renamed(c->tenant->catalog, c->writes->generation)) {
		out->table_count = w->count;
		memcpy(out->tables, w->oids, w->count * sizeof w->oids[0]);
	}
	return true;
}

void cached_invalidate(struct client *c)
{
	struct cache_deps deps;

	if (cached_writes(c, &deps))
		cache_invalidate(c->proxy->cache, &deps);
	if (c->txn.state == TXN_IDLE && !c->txn.may_have_written) {
		mem_free(c->writes);
		c->writes = NULL;
	}
}
