/* SPDX-License-Identifier: PostgreSQL */
/*
 * The console's data and orders. What is the control thread's own is read at
 * once; rows of workers are asked for by a task to each, and the last part
 * that comes back by mail ends the wait.
 */
#include "worker/console_source.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cache/cache.h"
#include "pool/ledger.h"
#include "proxy/client.h"
#include "proxy/link.h"
#include "proxy/tenant.h"
#include "tier/tier.h"
#include "worker/control_priv.h"

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

	(void)name;
	out->is_paused = c->is_paused;
}

static bool source_is_accepting(void *ctx)
{
	struct control *c = ctx;

	return c->listener != NULL && !c->is_draining;
}

static void source_publish(void *ctx, struct config *cfg)
{
	struct control *c = ctx;
	char why[512];
	struct settings *s = settings_create(cfg, c->settings, why, sizeof why);

	if (s) {
		control_publish(c, s);
		settings_put(&s);
	}
	config_put(&cfg);
}

/* --- orders ---------------------------------------------------------------------------- */

static void run_reconnect(struct task *t, struct proxy *p)
{
	for (struct map_node *n = map_next(&p->pools, NULL); n; n = map_next(&p->pools, n)) {
		struct tenant_pool *tp = map_entry(n, struct tenant_pool, by_ledger);

		if (!*t->text || strcmp(tp->tenant->database, t->text) == 0)
			link_empty_pool(&tp->pool);
	}
}

static void run_kill(struct task *t, struct proxy *p)
{
	list_foreach_safe (&p->clients, n, tmp) {
		struct client *c = list_entry(n, struct client, node);

		if (!c->tenant || (*t->text && strcmp(c->tenant->database, t->text) != 0))
			continue;
		client_close(c, CLOSE_ADMIN, NULL);
	}
}

static void run_kill_client(struct task *t, struct proxy *p)
{
	struct client *c = proxy_client_by_id(p, t->number);

	if (c)
		client_close(c, CLOSE_ADMIN, NULL);
}

static void post_all(struct control *c, void (*run)(struct task *, struct proxy *),
                     const struct admin_order *order)
{
	for (unsigned i = 0; i < c->worker_count; i++) {
		struct task *t = task_create(run);

		t->text = mem_strdup(order->database);
		t->number = order->id;
		worker_post(c->workers[i], t);
	}
}

static void cache_clear(struct control *c)
{
	const struct config *cfg = c->settings->config;

	for (size_t i = 0; c->shared.cache && i < cfg->cluster_count; i++)
		cache_void_cluster(c->shared.cache, slice_str(cfg->clusters[i].name));
}

static bool order_reload(struct control *c, struct pg_error *err)
{
	char why[512];

	if (control_reload(c, why, sizeof why) == 0)
		return true;
	pg_error_set(err, "F0000", "the configuration is refused: %s", why);
	return false;
}

static bool order_do(struct control *c, const struct admin_order *order, struct pg_error *err)
{
	switch (order->action) {
	case ADMIN_RELOAD:
		return order_reload(c, err);
	case ADMIN_PAUSE:
	case ADMIN_RESUME:
		control_pause(c, order->action == ADMIN_PAUSE);
		return true;
	case ADMIN_RECONNECT:
		post_all(c, run_reconnect, order);
		return true;
	case ADMIN_KILL:
		post_all(c, run_kill, order);
		return true;
	case ADMIN_KILL_CLIENT:
		post_all(c, run_kill_client, order);
		return true;
	case ADMIN_SHUTDOWN:
		control_stop(c);
		return true;
	case ADMIN_SHUTDOWN_CLIENTS:
	case ADMIN_SHUTDOWN_SERVERS:
		control_drain(c);
		return true;
	case ADMIN_CACHE_CLEAR:
		cache_clear(c);
		return true;
	}
	return true;
}

static void source_act(void *ctx, const struct admin_order *order, admin_error_fn *done,
                       void *done_ctx)
{
	struct pg_error err;
	bool is_done = order_do(ctx, order, &err);

	done(done_ctx, is_done ? NULL : &err);
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
		.act = source_act,
		.publish = source_publish,
		.explain = console_explain,
		.is_accepting = source_is_accepting,
	};
}
