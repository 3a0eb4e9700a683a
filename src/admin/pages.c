/* SPDX-License-Identifier: PostgreSQL */
/*
 * The HTTP pages: /metrics, /healthz, /readyz and a small dashboard that
 * loads itself again. Each is a function from the console's state to a body.
 */
#include <inttypes.h>
#include <stdio.h>

#include "admin/nodes.h"
#include "admin/private.h"
#include "base/clock.h"
#include "base/mem.h"
#include "metrics/exposition.h"
#include "pgweir/version.h"

#define TYPE_TEXT "text/plain; charset=utf-8"
#define TYPE_JSON "application/json"
#define TYPE_HTML "text/html; charset=utf-8"

typedef int page_fn(struct admin *a, struct buf *body);

static void gauge(struct buf *out, const char *name, const char *type, const char *help, uint64_t v)
{
	exposition_head(out, name, type, help);
	buf_appendf(out, "pgweir_%s %" PRIu64 "\n", name, v);
}

static void node_gauge(struct buf *out, const char *name, const struct cache_node_stats *n,
                       uint64_t v)
{
	buf_appendf(out, "pgweir_%s{node=\"", name);
	exposition_label(out, n->name);
	buf_appendf(out, "\"} %" PRIu64 "\n", v);
}

static void cache_nodes_exposition(const struct cache_stats *c, struct buf *out)
{
	unsigned count = c->node_count < CACHE_NODES_SHOWN ? c->node_count : CACHE_NODES_SHOWN;

	exposition_head(out, "cache_redis_node_up", "gauge", "1: all links to this master are up.");
	for (unsigned i = 0; i < count; i++)
		node_gauge(out, "cache_redis_node_up", &c->nodes[i],
		           c->nodes[i].links_open > 0 && c->nodes[i].links_up == c->nodes[i].links_open);
	exposition_head(out, "cache_redis_node_heard", "gauge",
	                "1: the messages of this master arrive.");
	for (unsigned i = 0; i < count; i++)
		node_gauge(out, "cache_redis_node_heard", &c->nodes[i], c->nodes[i].is_heard);
}

static void cache_exposition(const struct admin_source *source, struct buf *out)
{
	struct cache_stats c = { 0 };

	if (!source->cache)
		return;
	source->cache(source->ctx, &c);
	gauge(out, "cache_hits_local_total", "counter", "Answers from the local store.", c.hits_local);
	gauge(out, "cache_hits_redis_total", "counter", "Answers from Redis.", c.hits_redis);
	gauge(out, "cache_misses_total", "counter", "Look-ups that found nothing.", c.misses);
	gauge(out, "cache_stores_total", "counter", "Results stored.", c.stores);
	gauge(out, "cache_evictions_total", "counter", "Results put out for room.", c.evictions);
	gauge(out, "cache_invalidations_total", "counter", "Tables invalidated.", c.invalidations);
	gauge(out, "cache_redis_errors_total", "counter", "Failures of Redis.", c.redis_errors);
	gauge(out, "cache_redis_timeouts_total", "counter", "Answers of Redis that came too late.",
	      c.redis_timeouts);
	gauge(out, "cache_entries", "gauge", "Results in the local store.", c.entries);
	gauge(out, "cache_bytes", "gauge", "Bytes of the local store.", c.bytes);
	gauge(out, "cache_redis_connected", "gauge", "1: connected to Redis.", c.redis_connected);
	gauge(out, "cache_breaker_open", "gauge", "1: Redis is being skipped.", c.breaker_open);
	gauge(out, "cache_redis_redirections_total", "counter", "MOVED and ASK answers of a cluster.",
	      c.redirections);
	gauge(out, "cache_redis_refreshes_total", "counter",
	      "Times that it was asked who the masters are.", c.refreshes);
	gauge(out, "cache_redis_map_changes_total", "counter",
	      "Other masters, or other slots of theirs.", c.map_changes);
	gauge(out, "cache_redis_masters", "gauge", "Masters of Redis.", c.node_count);
	cache_nodes_exposition(&c, out);
}

/* What the gauges of clients and servers are to be compared with. */
static void limits_exposition(struct admin *a, struct buf *out)
{
	struct config *cfg = a->source.config(a->source.ctx);

	gauge(out, "max_clients", "gauge", "Most client connections: max_client_conn.",
	      (uint64_t)cfg->global.max_client_conn);
	exposition_head(out, "database_pool_size", "gauge",
	                "Server connections per user and node (a gauge); 0: no limit.");
	for (size_t i = 0; i < cfg->database_count; i++) {
		buf_append_str(out, "pgweir_database_pool_size{database=\"");
		exposition_label(out, cfg->databases[i].name);
		buf_appendf(out, "\"} %d\n", cfg->databases[i].pool_size);
	}
	config_put(&cfg);
}

static int page_metrics(struct admin *a, struct buf *body)
{
	exposition_head(body, "info", "gauge", "The version that runs.");
	buf_appendf(body, "pgweir_info{version=\"%s\"} 1\n", PGWEIR_VERSION);
	gauge(body, "start_time_seconds", "gauge", "When it started, since 1970.",
	      (uint64_t)(a->source.started_us / 1000000));
	limits_exposition(a, body);
	exposition_write(a->source.metrics, body);
	cache_exposition(&a->source, body);
	nodes_exposition(&a->source, clock_monotonic_us(), body);
	return 200;
}

static int page_health(struct admin *a, struct buf *body)
{
	(void)a;
	buf_append_str(body, "ok\n");
	return 200;
}

static void on_ready_topology(void *ctx, const char *cluster, const struct topology *t)
{
	struct admin *a = ctx;

	readiness_note(&a->readiness, cluster, t, a->now_us);
}

static int page_ready(struct admin *a, struct buf *body)
{
	struct config *cfg = a->source.config(a->source.ctx);
	bool is_accepting = !a->source.is_accepting || a->source.is_accepting(a->source.ctx);
	bool ready;

	a->now_us = clock_monotonic_us();
	a->source.topologies(a->source.ctx, on_ready_topology, a);
	ready = readiness_write(&a->readiness, cfg, is_accepting, a->now_us, body);
	config_put(&cfg);
	return ready ? 200 : 503;
}

/* --- the dashboard ------------------------------------------------------------------- */

static const char style[] =
	"<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
	"<meta http-equiv=\"refresh\" content=\"2\"><title>pgweir</title><style>"
	"body{font:14px/1.5 system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em;"
	"color:#1b2730;background:#f6f8f9}h1{font-size:1.4em}h2{font-size:1.1em;margin-top:1.6em}"
	"table{border-collapse:collapse;width:100%;background:#fff}th,td{padding:.35em .7em;"
	"text-align:right;border-bottom:1px solid #dde4e8}th{background:#e9eff2}"
	"th.t,td.t{text-align:left}.down{color:#b3261e}.ok{color:#1a7f37}</style></head><body>";

static void html_text(struct buf *out, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '<':
			buf_append_str(out, "&lt;");
			break;
		case '>':
			buf_append_str(out, "&gt;");
			break;
		case '&':
			buf_append_str(out, "&amp;");
			break;
		case '"':
			buf_append_str(out, "&quot;");
			break;
		default:
			buf_append_u8(out, (uint8_t)*text);
		}
	}
}

static void cell_text(struct buf *out, const char *text, const char *class)
{
	buf_appendf(out, "<td class=\"t %s\">", class);
	html_text(out, text);
	buf_append_str(out, "</td>");
}

static void cell_number(struct buf *out, uint64_t value)
{
	buf_appendf(out, "<td>%" PRIu64 "</td>", value);
}

struct node_table {
	struct buf *out;
	uint64_t now_us;
};

static void on_node(void *ctx, const char *cluster, const struct topology *t)
{
	struct node_table *table = ctx;

	for (unsigned i = 0; i < t->node_count; i++) {
		const struct topology_node *n = &t->nodes[i];
		const char *state = node_state(n, table->now_us);

		buf_append_str(table->out, "<tr>");
		cell_text(table->out, cluster, "");
		cell_text(table->out, n->name, "");
		cell_text(table->out, node_role_text(n->role), "");
		cell_text(table->out, state, strcmp(state, "running") == 0 ? "ok" : "down");
		cell_number(table->out, n->timeline);
		cell_number(table->out, atomic_load_explicit(&n->live->lag_bytes, memory_order_relaxed));
		cell_number(table->out, atomic_load_explicit(&n->live->active, memory_order_relaxed));
		buf_append_str(table->out, "</tr>");
	}
}

static void dashboard_nodes(struct admin *a, struct buf *out)
{
	struct node_table table = { .out = out, .now_us = clock_monotonic_us() };

	buf_append_str(out,
	               "<h2>Nodes</h2><table><tr><th class=t>cluster<th class=t>node"
	               "<th class=t>role<th class=t>state<th>timeline<th>lag bytes<th>active</tr>");
	a->source.topologies(a->source.ctx, on_node, &table);
	buf_append_str(out, "</table>");
}

static void dashboard_databases(struct admin *a, struct buf *out)
{
	static const struct {
		const char *title;
		enum db_stat id;
	} columns[] = {
		{ "transactions", DB_STAT_xact_count },
		{ "requests", DB_STAT_query_count },
		{ "to primary", DB_STAT_routed_primary },
		{ "to replicas", DB_STAT_routed_replica },
		{ "local hits", DB_STAT_cache_hits_local },
		{ "Redis hits", DB_STAT_cache_hits_redis },
		{ "pins", DB_STAT_pins },
		{ "errors", DB_STAT_errors },
	};
	size_t room = metrics_database_room(a->source.metrics), count;
	struct db_sum *rows = mem_alloc(room * sizeof(*rows) + 1);

	count = metrics_databases(a->source.metrics, rows, room);
	buf_append_str(out, "<h2>Databases</h2><table><tr><th class=t>database");
	for (size_t k = 0; k < WEIR_COUNTOF(columns); k++)
		buf_appendf(out, "<th>%s", columns[k].title);
	buf_append_str(out, "</tr>");
	for (size_t i = 0; i < count; i++) {
		buf_append_str(out, "<tr>");
		cell_text(out, rows[i].name, "");
		for (size_t k = 0; k < WEIR_COUNTOF(columns); k++)
			cell_number(out, rows[i].values[columns[k].id]);
		buf_append_str(out, "</tr>");
	}
	buf_append_str(out, "</table>");
	mem_free(rows);
}

static void dashboard_process(struct admin *a, struct buf *out)
{
	struct metrics_sum *sum = mem_alloc(sizeof(*sum));

	metrics_sum(a->source.metrics, sum);
	buf_appendf(out,
	            "<h1>pgweir %s</h1><p>%" PRIu64 " clients, %" PRIu64 " active, %" PRIu64
	            " waiting; %" PRIu64 " servers, %" PRIu64 " idle</p>",
	            PGWEIR_VERSION, sum->values[METRIC_CLIENTS], sum->values[METRIC_CLIENTS_ACTIVE],
	            sum->values[METRIC_CLIENTS_WAITING], sum->values[METRIC_SERVERS],
	            sum->values[METRIC_SERVERS_IDLE]);
	mem_free(sum);
}

static int page_dashboard(struct admin *a, struct buf *body)
{
	buf_append_str(body, style);
	dashboard_process(a, body);
	dashboard_nodes(a, body);
	dashboard_databases(a, body);
	buf_append_str(body, "<p><a href=\"/metrics\">metrics</a> <a href=\"/readyz\">readiness</a>"
	                     "</p></body></html>\n");
	return 200;
}

int admin_page(struct admin *a, const char *path, struct buf *body, const char **content_type)
{
	static const struct {
		const char *path;
		const char *type;
		page_fn *page;
	} pages[] = {
		{ "/metrics", EXPOSITION_CONTENT_TYPE, page_metrics },
		{ "/healthz", TYPE_TEXT, page_health },
		{ "/readyz", TYPE_JSON, page_ready },
		{ "/", TYPE_HTML, page_dashboard },
	};

	for (size_t i = 0; i < WEIR_COUNTOF(pages); i++) {
		if (strcmp(path, pages[i].path) == 0) {
			*content_type = pages[i].type;
			return pages[i].page(a, body);
		}
	}
	*content_type = TYPE_TEXT;
	buf_append_str(body, "there are /metrics, /healthz, /readyz and /\n");
	return 404;
}
