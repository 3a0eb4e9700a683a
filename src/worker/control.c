/* SPDX-License-Identifier: PostgreSQL */
/*
 * Start-up order: shared books, workers (made, not running), tier, listener,
 * console and HTTP, threads. control_destroy is the exact reverse. Snapshots go
 * to workers as tasks that carry a reference of their own.
 */
#include "worker/control.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "cache/cache.h"
#include "net/resolver.h"
#include "pool/ledger.h"
#include "pool/session.h"
#include "tier/tier.h"
#include "tier/topology.h"
#include "worker/accept.h"
#include "worker/broadcast.h"
#include "worker/cache_setup.h"
#include "worker/console.h"
#include "worker/control_priv.h"
#include "worker/credentials.h"
#include "worker/loops.h"
#include "worker/pidfile.h"

enum {
	SESSION_STATES_KEPT = 1024,
	DRAIN_POLL_US = 50000,
	RESTART_NAMES_MAX = 64, /* more options than change by a restart */
};

static void on_topology(void *ctx, const char *cluster, struct topology *topology)
{
	struct control *c = ctx;

	broadcast_topology(c, cluster, topology);
	metrics_add(metrics_block(c->shared.metrics, c->worker_count), METRIC_TOPOLOGY_CHANGES, 1);
	if (c->shared.cache && topology->primary >= 0)
		control_void_cache(c, cluster, topology->timeline);
}

static void on_catalog(void *ctx, const char *database, struct catalog *catalog)
{
	broadcast_catalog(ctx, database, catalog);
}

static void on_listening(void *ctx, const char *database, const char *channel)
{
	broadcast_listening(ctx, database, channel);
}

static void on_notification(void *ctx, const char *database, const struct pg_notification *n)
{
	broadcast_notification(ctx, database, n);
}

static void on_caught_up(void *ctx, uint64_t listener)
{
	broadcast_caught_up(ctx, listener);
}

static void hook_suspect(void *ctx, const char *cluster, uint16_t node_id)
{
	tier_suspect_post(((struct control *)ctx)->tier, cluster, node_id);
}

static void hook_catalog_stale(void *ctx, const char *database)
{
	tier_catalog_stale_post(((struct control *)ctx)->tier, database);
}

static void hook_probe(void *ctx, const char *cluster)
{
	tier_probe_post(((struct control *)ctx)->tier, cluster);
}

static void hook_listen(void *ctx, const char *database, const char *channel, bool is_on)
{
	tier_listen_post(((struct control *)ctx)->tier, database, channel, is_on);
}

static void hook_catch_up(void *ctx, const char *database, uint64_t client_id)
{
	tier_catch_up_post(((struct control *)ctx)->tier, database, client_id);
}

static unsigned worker_count_of(const struct config *cfg)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned n = (unsigned)cfg->global.workers;

	if (n == 0)
		n = cpus > 0 ? (unsigned)cpus : 1;
	return n > LEDGER_WORKERS_MAX ? LEDGER_WORKERS_MAX : n;
}

static void create_shared(struct control *c)
{
	const struct config_globals *g = &c->settings->config->global;

	c->shared.ledger = ledger_create(c->worker_count);
	c->shared.sessions = session_table_create(SESSION_STATES_KEPT);
	c->shared.resolver = resolver_create(g->dns_max_ttl_us, g->dns_nxdomain_ttl_us);
	c->shared.metrics = metrics_create(c->worker_count);
	c->shared.cache = control_create_cache(c, c->shared.resolver);
	c->shared.worker_count = c->worker_count;
	c->hooks = (struct proxy_hooks){
		.suspect = hook_suspect,
		.catalog_stale = hook_catalog_stale,
		.probe = hook_probe,
		.listen = hook_listen,
		.catch_up = hook_catch_up,
		.secret = credentials_hook,
		.console = console_hook,
		.console_greeting = admin_greeting,
		.console_refuse_extended = admin_refuse_extended,
	};
	c->shared.hooks = &c->hooks;
	c->shared.hooks_ctx = c;
}

static void create_workers(struct control *c, struct loop **loops)
{
	c->workers = mem_zalloc(c->worker_count * sizeof *c->workers);
	for (unsigned i = 0; i < c->worker_count; i++)
		c->workers[i] = worker_create(&c->shared, i, c->settings, loops[i]);
}

static int start_threads(struct control *c, char *why, size_t why_size)
{
	for (unsigned i = 0; i < c->worker_count; i++) {
		int err = worker_start(c->workers[i]);

		if (err) {
			snprintf(why, why_size, "worker %u: %s", i, strerror(err));
			return -1;
		}
	}
	return 0;
}

struct control *control_create(struct config *config, char *why, size_t why_size)
{
	struct control *c = mem_zalloc(sizeof *c);
	struct loop **loops = NULL;
	struct tier_callbacks callbacks = { c, on_topology, on_catalog, on_listening,
					    on_notification, on_caught_up };

	list_init(&c->timelines);
	list_init(&c->order_waits);
	gates_init(&c->gates);
	c->worker_count = worker_count_of(config);
	c->settings = settings_create(config, NULL, why, why_size);
	if (!c->settings)
		goto fail;
	loops = mem_zalloc(c->worker_count * sizeof(*loops));
	if (loops_create(&config->global, loops, c->worker_count, why, why_size))
		goto fail;
	c->loop = loop_create(&(struct loop_options){ .backend = LOOP_LIBEVENT });
	c->mailbox = mailbox_create(c->loop, c);
	create_shared(c);
	create_workers(c, loops);
	c->tier = tier_create(c->loop, config, &callbacks);
	console_open(c);
	if (accept_open(c, why, why_size) || console_open_http(c, why, why_size) ||
	    start_threads(c, why, why_size))
		goto fail;
	log_info("started", "workers=%u listen=%s port=%d", c->worker_count,
		 config->global.listen_addr, config->global.listen_port);
	mem_free(loops);
	return c;
fail:
	mem_free(loops);
	control_destroy(c);
	return NULL;
}

void control_run(struct control *c)
{
	loop_run(c->loop);
}

static void forget_timelines(struct control *c)
{
	struct list_node *n;

	while ((n = list_pop(&c->timelines)) != NULL) {
		struct cluster_timeline *t = list_entry(n, struct cluster_timeline, node);

		mem_free(t->cluster);
		mem_free(t);
	}
}

void control_destroy(struct control *c)
{
	if (!c)
		return;
	accept_close(c);
	for (unsigned i = 0; c->workers && i < c->worker_count; i++)
		worker_stop_post(c->workers[i]);
	for (unsigned i = 0; c->workers && i < c->worker_count; i++)
		worker_join(c->workers[i]);
	if (c->loop)
		console_close(c);
	if (c->tier)
		tier_destroy(c->tier);
	c->tier = NULL;
	for (unsigned i = 0; c->workers && i < c->worker_count; i++)
		worker_destroy(c->workers[i]);
	mem_free(c->workers);
	if (c->shared.cache)
		cache_destroy(c->shared.cache);
	if (c->shared.resolver)
		resolver_destroy(c->shared.resolver);
	session_table_destroy(c->shared.sessions);
	ledger_destroy(c->shared.ledger);
	if (c->shared.metrics)
		metrics_destroy(c->shared.metrics);
	if (c->mailbox)
		mailbox_destroy(c->mailbox);
	if (c->loop)
		loop_destroy(c->loop);
	settings_put(&c->settings);
	forget_timelines(c);
	gates_fini(&c->gates);
	mem_free(c);
}

static void move_log(const struct config_globals *old, const struct config_globals *new)
{
	if (strcmp(old->logfile, new->logfile) != 0 && log_open_file(new->logfile) != WEIR_OK)
		log_error("logfile_failed", "path=%s", new->logfile);
}

void control_publish(struct control *c, struct settings *settings)
{
	move_log(&c->settings->config->global, &settings->config->global);
	settings_put(&c->settings);
	c->settings = settings_get(settings);
	(void)gates_keep(&c->gates, settings->config);
	broadcast_settings(c, settings);
	resolver_set_ttl(c->shared.resolver, settings->config->global.dns_max_ttl_us,
			 settings->config->global.dns_nxdomain_ttl_us);
	tier_reload(c->tier, settings->config);
	log_set_level((enum log_level)config_log_level(&settings->config->global));
}


int control_reload(struct control *c, char *why, size_t why_size)
{
	struct config_error err;
	const char *path = c->settings->config->global.conffile;
	struct config *cfg = config_load(path, &err);
	const char *kept[RESTART_NAMES_MAX];
	struct settings *s;
	size_t n;

	log_reopen(); /* a rotated log is left also when the configuration is refused */
	if (!cfg) {
		config_error_text(&err, why, why_size);
		log_error("reload_failed", "error=\"%s\"", why);
		return -1;
	}
	n = config_diff(c->settings->config, cfg, kept, WEIR_COUNTOF(kept));
	config_keep(cfg, c->settings->config);
	s = settings_create(cfg, c->settings, why, why_size);
	if (s) {
		for (size_t i = 0; i < n && i < WEIR_COUNTOF(kept); i++)
			log_warn("restart_needed", "option=%s", kept[i]);
		control_publish(c, s);
		log_info("reloaded", "path=%s", cfg->path);
	} else {
		log_error("reload_failed", "error=\"%s\"", why);
	}
	config_put(&cfg);
	if (!s)
		return -1;
	settings_put(&s);
	return 0;
}

void control_set_gate(struct control *c, const char *database, struct gate_state state)
{
	gates_set(&c->gates, database, state);
	broadcast_gate(c, database, state);
	log_info("gate_set", "db=\"%s\" paused=%d disabled=%d", *database ? database : "*",
		 state.is_paused, state.is_disabled);
}

bool control_resume_all(struct control *c)
{
	if (!gates_resume_all(&c->gates))
		return false;
	broadcast_resume(c);
	log_info("resumed", "workers=%u", c->worker_count);
	return true;
}

void control_stop(struct control *c)
{
	c->is_stopping = true;
	loop_timer_cancel(&c->drain_timer);
	loop_stop(c->loop);
}

/* The drain command waits for the pidfile's end; its caller sends SIGTERM next. */
static void drain_end(struct control *c)
{
	if (c->is_staying)
		pidfile_remove();
	else
		control_stop(c);
}

static void on_drain_poll(struct loop_timer *timer)
{
	struct control *c = list_entry(timer, struct control, drain_timer);
	uint32_t left = atomic_load(&c->shared.client_count);
	uint32_t orphans = atomic_load(&c->shared.orphan_count);

	if (left + orphans == 0 || loop_now_us(c->loop) >= c->drain_until_us) {
		log_info("drained", "clients_left=%u orphans_left=%u", left, orphans);
		drain_end(c);
		return;
	}
	loop_timer_arm(c->loop, timer, DRAIN_POLL_US, on_drain_poll);
}

/* drain_delay is over: nobody new, and who is here leaves. */
static void on_drain_delay(struct loop_timer *timer)
{
	struct control *c = list_entry(timer, struct control, drain_timer);

	log_info("draining", "clients=%u", atomic_load(&c->shared.client_count));
	accept_close(c);
	if (c->drain_mode != DRAIN_CLIENTS)
		broadcast_drain(c);
	c->drain_until_us = UINT64_MAX;
	if (c->drain_mode == DRAIN_BOUNDED)
		c->drain_until_us =
			loop_now_us(c->loop) + c->settings->config->global.drain_timeout_us;
	loop_timer_arm(c->loop, timer, DRAIN_POLL_US, on_drain_poll);
}

void control_drain(struct control *c, enum drain_mode mode)
{
	uint64_t delay_us = c->settings->config->global.drain_delay_us;

	if (c->is_draining)
		return;
	c->is_draining = true;
	c->drain_mode = mode;
	if (delay_us) {
		log_info("drain_delayed", "seconds=%.1f", (double)delay_us / 1e6);
		loop_timer_arm(c->loop, &c->drain_timer, delay_us, on_drain_delay);
	} else {
		on_drain_delay(&c->drain_timer);
	}
}

enum order { ORDER_RELOAD, ORDER_PAUSE, ORDER_RESUME, ORDER_DRAIN, ORDER_DRAIN_STAY, ORDER_STOP };

struct order_mail {
	struct mail mail;
	enum order order;
};

static void on_order(struct mail *mail, void *receiver)
{
	struct order_mail *m = list_entry(mail, struct order_mail, mail);
	struct control *c = receiver;
	enum order order = m->order;
	char why[512];

	mem_free(m);
	switch (order) {
	case ORDER_RELOAD:
		(void)control_reload(c, why, sizeof why);
		break;
	case ORDER_PAUSE:
		control_set_gate(c, "", (struct gate_state){ .is_paused = true });
		break;
	case ORDER_RESUME:
		control_resume_all(c);
		break;
	case ORDER_DRAIN:
		if (c->is_draining)
			control_stop(c);
		else
			control_drain(c, DRAIN_BOUNDED);
		break;
	case ORDER_DRAIN_STAY:
		if (!c->is_draining)
			c->is_staying = true;
		control_drain(c, DRAIN_BOUNDED);
		break;
	case ORDER_STOP:
		control_stop(c);
		break;
	}
}

static void post_order(struct control *c, enum order order)
{
	struct order_mail *m = mem_zalloc(sizeof *m);

	m->mail.deliver = on_order;
	m->order = order;
	mailbox_post(c->mailbox, &m->mail);
}

void control_reload_post(struct control *c)
{
	post_order(c, ORDER_RELOAD);
}

void control_pause_post(struct control *c, int paused)
{
	post_order(c, paused ? ORDER_PAUSE : ORDER_RESUME);
}

void control_stop_post(struct control *c, int is_now)
{
	post_order(c, is_now ? ORDER_STOP : ORDER_DRAIN);
}

void control_drain_post(struct control *c)
{
	post_order(c, ORDER_DRAIN_STAY);
}
