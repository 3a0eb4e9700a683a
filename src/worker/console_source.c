/* SPDX-License-Identifier: PostgreSQL */
/*
 * The console's data. What is the control thread's own is read at
 * once; rows of workers are asked for by a task to each, and the last part
 * that comes back by mail ends the wait.
 */
#include "worker/console_source.h"

#include <stdio.h>

#include "auth/userlist.h"
#include "base/clock.h"
#include "base/mem.h"
#include "cache/cache.h"
#include "pool/ledger.h"
#include "proxy/client.h"
#include "tier/tier.h"
#include "worker/control_priv.h"
#include "worker/explain.h"

/* --- rows of workers ------------------------------------------------------------- */

struct collect { /* control thread; freed with the last part */
	struct control *control;
	admin_parts_fn *done;
	void *done_ctx;
	unsigned want;
	unsigned left;
	struct admin_part *parts[LEDGER_WORKERS_MAX];
};

struct part_mail {
	struct mail mail;
	struct collect *collect;
	struct admin_part *part;
};

/* The parts as a list, in the order of workers. */
static struct admin_part *collect_list(struct collect *k)
{
	struct admin_part *first = NULL;

	for (unsigned i = k->control->worker_count; i-- > 0;) {
		k->parts[i]->next = first;
		first = k->parts[i];
	}
	return first;
}

static void collect_end(struct collect *k)
{
	struct admin_part *parts = collect_list(k);

	if (k->control->admin) {
		k->done(k->done_ctx, parts);
	} else {
		admin_part_destroy(&parts);
		console_abandon(k->done_ctx);
	}
	mem_free(k);
}

static void on_part(struct mail *mail, void *receiver)
{
	struct part_mail *m = list_entry(mail, struct part_mail, mail);
	struct collect *k = m->collect;

	(void)receiver;
	k->parts[m->part->worker] = m->part;
	mem_free(m);
	if (--k->left == 0)
		collect_end(k);
}

static void run_collect(struct task *t, struct proxy *p)
{
	struct collect *k = t->ptr;
	struct part_mail *m = mem_zalloc(sizeof *m);

	m->mail.deliver = on_part;
	m->collect = k;
	m->part = console_rows(p, k->want);
	mailbox_post(k->control->mailbox, &m->mail);
}

static void source_collect(void *ctx, unsigned want, admin_parts_fn *done, void *done_ctx)
{
	struct control *c = ctx;
	struct collect *k = mem_zalloc(sizeof *k);

	k->control = c;
	k->done = done;
	k->done_ctx = done_ctx;
	k->want = want;
	k->left = c->worker_count;
	for (unsigned i = 0; i < c->worker_count; i++) {
		struct task *t = task_create(run_collect);

		t->ptr = k;
		worker_post(c->workers[i], t);
	}
}

/* --- what the control thread knows ------------------------------------------------- */

static struct config *source_config(void *ctx)
{
	return config_get(((struct control *)ctx)->settings->config);
}

static void source_topologies(void *ctx, admin_topology_fn *each, void *each_ctx)
{
	struct control *c = ctx;
	const struct config *cfg = c->settings->config;

	for (size_t i = 0; i < cfg->cluster_count; i++) {
		const struct topology *t = tier_topology(c->tier, cfg->clusters[i].name);

		if (t)
			each(each_ctx, cfg->clusters[i].name, t);
	}
}

static void source_cache(void *ctx, struct cache_stats *out)
{
	struct control *c = ctx;

	if (c->shared.cache)
		cache_stats(c->shared.cache, out);
}

static void source_database(void *ctx, const char *name, struct admin_database *out)
{
	struct control *c = ctx;
	struct gate_state gate = gates_of(&c->gates, name);

	out->is_paused = gate.is_paused;
	out->is_disabled = gate.is_disabled;
}

static struct resolver_host *source_hosts(void *ctx, size_t *count)
{
	return resolver_hosts(((struct control *)ctx)->shared.resolver, count);
}

static void source_users(void *ctx, admin_name_fn *each, void *each_ctx)
{
	userlist_each(((struct control *)ctx)->settings->users, each, each_ctx);
}

static bool source_is_accepting(void *ctx)
{
	struct control *c = ctx;

	return c->is_accepting && !c->is_draining;
}

static bool source_explain(void *ctx, const char *database, struct slice sql,
                           struct admin_route *out, struct pg_error *err)
{
	struct control *c = ctx;
	const struct config_database *db =
		config_database_find(c->settings->config, slice_str(database));
	struct explain_input in = {
		.db = db,
		.sql = sql,
		.has_cache = c->shared.cache != NULL,
		.now_us = clock_monotonic_us(),
	};

	if (!db) {
		pg_error_set(err, "3D000", "database \"%.100s\" does not exist", database);
		return false;
	}
	in.topology = tier_topology(c->tier, db->cluster->name);
	in.catalog = tier_catalog(c->tier, db->name);
	explain_statement(&in, out);
	return true;
}

static bool source_publish(void *ctx, struct config *cfg, char *why, size_t why_size)
{
	struct control *c = ctx;
	struct settings *s = settings_create(cfg, c->settings, why, why_size);

	config_put(&cfg);
	if (!s)
		return false;
	control_publish(c, s);
	settings_put(&s);
	return true;
}

void console_source_init(struct admin_source *source, struct control *c)
{
	*source = (struct admin_source){
		.ctx = c,
		.metrics = c->shared.metrics,
		.started_us = clock_wall_us(),
		.config = source_config,
		.collect = source_collect,
		.topologies = source_topologies,
		.cache = c->shared.cache ? source_cache : NULL,
		.database = source_database,
		.users = source_users,
		.hosts = source_hosts,
		.act = console_order,
		.publish = source_publish,
		.explain = source_explain,
		.is_accepting = source_is_accepting,
	};
}
