/* SPDX-License-Identifier: PostgreSQL */
/*
 * Gauges by counting the lists, and the counters that others keep (loop,
 * statement cache) copied over: nothing is counted per query for this.
 */
#include "proxy/gauges.h"

#include "proxy/client.h"
#include "proxy/tenant.h"

static void publish_clients(struct proxy *p)
{
	uint64_t active = 0, waiting = 0, pinned = 0;

	list_foreach(&p->clients, n) {
		const struct client *c = list_entry(n, struct client, node);

		active += c->server != NULL;
		waiting += c->state == CLIENT_WAIT_SERVER || c->state == CLIENT_WAIT_NODE;
		pinned += c->pins != 0;
	}
	metrics_set(p->metrics, METRIC_CLIENTS, p->clients.count);
	metrics_set(p->metrics, METRIC_CLIENTS_ACTIVE, active);
	metrics_set(p->metrics, METRIC_CLIENTS_WAITING, waiting);
	metrics_set(p->metrics, METRIC_PINNED, pinned);
}

static void publish_servers(struct proxy *p)
{
	uint64_t open = 0, idle = 0;

	map_foreach(&p->pools, n) {
		const struct pool *pool = &map_entry(n, struct tenant_pool, by_ledger)->pool;

		open += pool_open_count(pool);
		idle += pool_count(pool, SERVER_IDLE) + pool_count(pool, SERVER_KEPT);
	}
	metrics_set(p->metrics, METRIC_SERVERS, open);
	metrics_set(p->metrics, METRIC_SERVERS_IDLE, idle);
}

void gauges_publish(struct proxy *p)
{
	const struct statement_cache_stats *s = statement_cache_stats(p->statements);
	const struct loop_stats *l = loop_stats(p->loop);

	publish_clients(p);
	publish_servers(p);
	metrics_set(p->metrics, METRIC_STATEMENT_TEXT_HITS, s->text_hits);
	metrics_set(p->metrics, METRIC_STATEMENT_SHAPE_HITS, s->shape_hits);
	metrics_set(p->metrics, METRIC_STATEMENT_PARSES, s->parses);
	metrics_set(p->metrics, METRIC_STATEMENT_UNPARSED, s->parse_failures);
	metrics_set(p->metrics, METRIC_WORKERS_EPOLL, loop_backend(p->loop) == LOOP_EPOLL);
	metrics_set(p->metrics, METRIC_WORKERS_RING, loop_backend(p->loop) == LOOP_RING);
	metrics_set(p->metrics, METRIC_LOOP_TURNS, l->turns);
	metrics_set(p->metrics, METRIC_LOOP_READS, l->reads);
	metrics_set(p->metrics, METRIC_LOOP_WRITES, l->writes);
	metrics_set(p->metrics, METRIC_LOOP_POLLS, l->polls_changed);
	metrics_set(p->metrics, METRIC_LOOP_SUBMITS, l->submits);
}
