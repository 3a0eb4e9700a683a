/* SPDX-License-Identifier: PostgreSQL */
/*
 * One cluster at work, see cluster.h. Decisions are view.c's; this file feeds
 * it and carries out what it asks for:
 *
 *   poll timer, suspicion, surprise -> patroni_ask -> view_on_cluster
 *   probe timer -> primary's probe -> then the replicas' -> view_on_probe
 *
 * The primary is sampled before the replicas, so that one round is enough to
 * show a replica fresh as of its beginning. While there is no primary both go
 * faster.
 */
#include "tier/cluster.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "config/config.h"
#include "config/hostlist.h"
#include "net/loop.h"
#include "net/tls.h"
#include "tier/cluster_log.h"
#include "tier/live.h"
#include "tier/patroni.h"
#include "tier/probe.h"
#include "tier/view.h"

enum {
	CLUSTER_MAGIC = 0x636c7573,
	HURRY_US = 100 * 1000,        /* between looks while there is no primary */
	LOOK_PAUSE_US = 50 * 1000,    /* between looks that events ask for */
	PROBE_PAUSE_US = 10 * 1000,   /* between rounds that sessions ask for */
	AGAIN_US = 10 * 1000,         /* what a replica gets to catch up with this round's sample */
	ASK_TIMEOUT_MAX_MS = 1000,    /* a member that hangs must not hold up the others */
	WANTED_US = 300 * 1000,       /* reads that were refused this lately want faster probes */
	FAST_SHARE = 10,              /* of the probe interval while they are wanted */
	HEALTHY_US = 10 * 1000 * 1000 /* of quiet after which the next ejection is a short one */
};

_Static_assert((int)NODE_HOST_MAX > (int)HOSTLIST_BYTES_MAX, "a list of hosts fits");

struct cluster {
	unsigned magic;
	char *name;                     /* owned */
	struct pg_session_net net;
	const struct cluster_ops *ops;  /* borrowed: static */
	void *arg;
	struct config *config;          /* counted: options live in it */
	const struct config_cluster *options;
	struct view view;
	struct topology *topology;      /* counted: the published one */
	struct node_live *live;         /* immortal, by id */
	struct patroni *patroni;        /* owned; NULL: static */
	struct probe *probes[TOPOLOGY_NODES_MAX]; /* owned, by id */
	char probe_targets[TOPOLOGY_NODES_MAX][NODE_HOST_MAX + 8];
	uint32_t epochs[TOPOLOGY_NODES_MAX];      /* that live holds the state of */
	struct loop_timer poll_timer;
	struct loop_timer probe_timer;
	struct loop_timer hurry_timer;  /* a look that waits for its pause */
	struct loop_timer again_timer;  /* a second probe of replicas that were just behind */
	uint64_t looked_us;
	uint64_t probed_us;
	bool replicas_due;              /* of this round: after the primary's answer */
	bool was_again;                 /* of this round: the second probe was sent */
	bool is_unreachable;            /* told already */
};

#define cluster_of(timer, member) \
	((struct cluster *)(void *)((char *)(timer) - offsetof(struct cluster, member)))

static void on_poll_timer(struct loop_timer *timer);
static void on_probe_timer(struct loop_timer *timer);
static void cluster_apply(struct cluster *c, uint32_t actions);

/* ---- publishing ---- */

static void log_event(void *arg, const char *event, bool is_bad, const struct topology_node *node)
{
	const struct cluster *c = arg;

	log_write(is_bad ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, event,
		  "cluster=%s node=%s address=%s:%u timeline=%u", c->name, node ? node->name : "-",
		  node ? node->host : "-", node ? (unsigned)node->port : 0u,
		  node ? (unsigned)node->timeline : 0u);
}

/* The atomics that workers read: freshness first falls, then the topology tells of the epoch. */
static void write_live(struct cluster *c)
{
	for (uint16_t id = 0; id < c->view.node_count; id++) {
		const struct view_node *n = &c->view.nodes[id];
		struct node_live *live = &c->live[id];

		if (c->epochs[id] != n->epoch)
			live_reset(live);
		c->epochs[id] = n->epoch;
		atomic_store_explicit(&live->fresh_as_of_us, n->fresh_as_of_us, memory_order_relaxed);
		if (!n->is_probed)
			continue;
		atomic_store_explicit(&live->replay_lsn, n->probe.lsn, memory_order_relaxed);
		atomic_store_explicit(&live->lag_bytes, freshness_lag(&c->view.history, n->probe.lsn),
				      memory_order_relaxed);
	}
}

static void publish(struct cluster *c)
{
	struct topology *next = mem_alloc(sizeof *next);
	uint64_t generation = c->topology ? c->topology->generation : 0;

	view_topology(&c->view, next);
	if (c->topology && view_same(c->topology, next)) {
		mem_free(next);
		return;
	}
	atomic_init(&next->refcount, 1);
	next->generation = generation + 1;
	for (uint16_t i = 0; i < next->node_count; i++)
		next->nodes[i].live = &c->live[next->nodes[i].id];
	topology_diff(c->topology, next, log_event, c);
	topology_put(&c->topology);
	c->topology = next;
	c->ops->on_topology(c->arg, c, next);
}

/* ---- probing ---- */

static bool has_credentials(const struct config_cluster *options)
{
	return options->user[0] != '\0';
}

static void on_again_timer(struct loop_timer *timer)
{
	struct cluster *c = cluster_of(timer, again_timer);

	WEIR_CHECK_MAGIC(c, CLUSTER_MAGIC);
	for (uint16_t id = 0; id < c->view.node_count; id++)
		if (c->probes[id] && c->view.nodes[id].is_probed && (int)id != c->view.primary &&
		    freshness_lag(&c->view.history, c->view.nodes[id].probe.lsn) > 0)
			probe_start(c->probes[id], c->config->global.probe_timeout_us, false);
}

/*
 * Under load a replica is asked a moment before this round's position has
 * reached it. Asking once more shows it fresh as of this round, not the last.
 */
static void probe_again(struct cluster *c, uint16_t id)
{
	if (c->was_again || c->view.primary < 0 || (int)id == c->view.primary ||
	    freshness_lag(&c->view.history, c->view.nodes[id].probe.lsn) == 0)
		return;
	c->was_again = true;
	loop_timer_arm(c->net.loop, &c->again_timer, AGAIN_US, on_again_timer);
}

static void on_sample(void *arg, uint16_t id, const struct probe_sample *sample)
{
	struct cluster *c = arg;
	struct node_live *live = &c->live[id];
	uint64_t ejected = atomic_load_explicit(&live->ejected_until_us, memory_order_relaxed);
	bool was_down = !c->view.nodes[id].is_probed;

	WEIR_CHECK_MAGIC(c, CLUSTER_MAGIC);
	cluster_apply(c, view_on_probe(&c->view, id, sample));
	probe_again(c, id);
	/* A new connection was accepted: it serves again. Long quiet: forget its failures. */
	if (was_down || (ejected && clock_monotonic_us() > ejected + HEALTHY_US)) {
		atomic_store_explicit(&live->ejected_until_us, 0, memory_order_relaxed);
		atomic_store_explicit(&live->eject_count, 0, memory_order_relaxed);
	}
}

static void on_probe_failed(void *arg, uint16_t id, const char *reason)
{
	struct cluster *c = arg;
	struct view_node *n = &c->view.nodes[id];

	WEIR_CHECK_MAGIC(c, CLUSTER_MAGIC);
	if (n->is_probed || !n->has_answered)
		log_warn("probe_failed", "cluster=%s node=%s reason=\"%s\"", c->name, n->claim.name,
			 reason);
	atomic_fetch_add_explicit(&c->live[id].probe_failures, 1, memory_order_relaxed);
	cluster_apply(c, view_on_probe_failed(&c->view, id));
}

static const struct probe_ops probe_ops = { on_sample, on_probe_failed };

static struct probe *make_probe(struct cluster *c, uint16_t id)
{
	const struct config_globals *g = &c->config->global;
	struct pg_session_target target = {
		.host = c->view.nodes[id].claim.host,
		.port = c->view.nodes[id].claim.port,
		.user = c->options->user,
		.password = c->options->password,
		.dbname = c->options->probe_dbname,
		.sslmode = option_words(OPTION_SSLMODE)[g->server_tls_sslmode],
		.sslrootcert = g->server_tls_ca_file,
		.sslcert = g->server_tls_cert_file,
		.sslkey = g->server_tls_key_file,
	};

	return probe_create(&c->net, &target, &probe_ops, c, id);
}

/* One probe per member, at its present address. Not from inside a probe's callback. */
static void fit_probes(struct cluster *c)
{
	for (uint16_t id = 0; id < TOPOLOGY_NODES_MAX; id++) {
		const struct view_node *n = &c->view.nodes[id];
		char target[sizeof c->probe_targets[0]];
		bool is_wanted = c->view.has_probes && id < c->view.node_count && n->is_member;

		snprintf(target, sizeof target, "%s:%u", n->claim.host, (unsigned)n->claim.port);
		if (c->probes[id] && (!is_wanted || strcmp(target, c->probe_targets[id]) != 0)) {
			probe_destroy(c->probes[id]);
			c->probes[id] = NULL;
		}
		if (is_wanted && c->probes[id] == NULL) {
			c->probes[id] = make_probe(c, id);
			memcpy(c->probe_targets[id], target, sizeof target);
		}
	}
}

static void probe_replicas(struct cluster *c)
{
	c->replicas_due = false;
	for (uint16_t id = 0; id < c->view.node_count; id++)
		if (c->probes[id] && (int)id != c->view.primary)
			probe_start(c->probes[id], c->config->global.probe_timeout_us,
				    (int)id == c->view.leader);
}

/* The primary first; the rest when it has answered, or when the next round finds it silent. */
static void probe_round(struct cluster *c)
{
	int primary = c->view.primary;

	c->probed_us = clock_monotonic_us();
	loop_timer_cancel(&c->again_timer);
	c->was_again = false;
	if (primary < 0 || c->probes[primary] == NULL || c->replicas_due)
		probe_replicas(c);
	else
		c->replicas_due = true;
	if (primary >= 0 && c->probes[primary])
		probe_start(c->probes[primary], c->config->global.probe_timeout_us, true);
}

/*
 * Sessions that wrote or read on the primary go back to replicas only once one
 * is known to be fresh as of later. While there are such sessions rounds come
 * faster, so that their pauses of thought suffice.
 */
static uint64_t probe_pause(const struct cluster *c)
{
	uint64_t pause_us = c->config->global.probe_interval_us, wanted_us = 0;

	for (uint16_t id = 0; id < c->view.node_count; id++) {
		uint64_t at = atomic_load_explicit(&c->live[id].wanted_us, memory_order_relaxed);

		wanted_us = at > wanted_us ? at : wanted_us;
	}
	if (wanted_us == 0 || clock_monotonic_us() > wanted_us + WANTED_US)
		return pause_us;
	return pause_us / FAST_SHARE > PROBE_PAUSE_US ? pause_us / FAST_SHARE : PROBE_PAUSE_US;
}

static void on_probe_timer(struct loop_timer *timer)
{
	struct cluster *c = cluster_of(timer, probe_timer);

	WEIR_CHECK_MAGIC(c, CLUSTER_MAGIC);
	probe_round(c);
	loop_timer_arm(c->net.loop, timer, probe_pause(c), on_probe_timer);
}

/* ---- looking ---- */

static void look(struct cluster *c)
{
	c->looked_us = clock_monotonic_us();
	if (c->patroni)
		patroni_ask(c->patroni);
}

static void on_hurry_timer(struct loop_timer *timer)
{
	struct cluster *c = cluster_of(timer, hurry_timer);

	WEIR_CHECK_MAGIC(c, CLUSTER_MAGIC);
	look(c);
}

/* As soon as the pause since the last look allows. */
static void look_soon(struct cluster *c)
{
	uint64_t now_us = clock_monotonic_us();

	if (c->patroni == NULL || c->hurry_timer.loop)
		return;
	if (now_us - c->looked_us >= LOOK_PAUSE_US)
		look(c);
	else
		loop_timer_arm(c->net.loop, &c->hurry_timer, c->looked_us + LOOK_PAUSE_US - now_us,
			       on_hurry_timer);
}

static void arm_poll(struct cluster *c)
{
	uint64_t pause_us = c->config->global.topology_poll_interval_us;

	if (c->view.primary < 0 && pause_us > HURRY_US)
		pause_us = HURRY_US;
	loop_timer_cancel(&c->poll_timer);
	loop_timer_arm(c->net.loop, &c->poll_timer, pause_us, on_poll_timer);
}

static void on_poll_timer(struct loop_timer *timer)
{
	struct cluster *c = cluster_of(timer, poll_timer);

	WEIR_CHECK_MAGIC(c, CLUSTER_MAGIC);
	look(c);
	arm_poll(c);
}

static void on_cluster(void *arg, const struct cluster_doc *doc)
{
	struct cluster *c = arg;
	uint32_t actions;

	WEIR_CHECK_MAGIC(c, CLUSTER_MAGIC);
	if (c->is_unreachable)
		log_info("patroni_reachable", "cluster=%s", c->name);
	c->is_unreachable = false;
	actions = view_on_cluster(&c->view, doc);
	fit_probes(c);
	cluster_apply(c, actions);
}

static void on_unreachable(void *arg)
{
	struct cluster *c = arg;

	WEIR_CHECK_MAGIC(c, CLUSTER_MAGIC);
	if (!c->is_unreachable)
		log_warn("patroni_unreachable", "cluster=%s", c->name);
	c->is_unreachable = true;
}

static const struct patroni_ops patroni_ops = { on_cluster, on_unreachable };

static void cluster_apply(struct cluster *c, uint32_t actions)
{
	int before = c->topology ? c->topology->primary : -1;

	write_live(c);
	if (actions & VIEW_CHANGED)
		publish(c);
	if (before >= 0 && c->topology->primary < 0 && c->patroni)
		arm_poll(c);
	if (actions & VIEW_LOOK)
		look_soon(c);
	if (actions & VIEW_PROBE)
		probe_round(c);
	else if (c->replicas_due && c->view.primary >= 0 &&
		 c->view.nodes[c->view.primary].probe.sent_us >= c->probed_us)
		probe_replicas(c);
}

/* ---- life ---- */

static void static_doc(const struct config_cluster *options, struct cluster_doc *doc)
{
	memset(doc, 0, sizeof *doc);
	for (size_t i = 0; i < options->host_count && doc->count < TOPOLOGY_NODES_MAX; i++) {
		const struct config_endpoint *host = &options->hosts[i];
		struct member_claim *m = &doc->members[doc->count++];

		snprintf(m->host, sizeof m->host, "%s", host->host);
		snprintf(m->name, sizeof m->name, "%.*s:%u", (int)sizeof m->name - 8, host->host,
			 (unsigned)host->port);
		m->port = host->port;
		m->weight = 1;
		m->is_running = true;
	}
}

static void configure_static(struct cluster *c)
{
	struct cluster_doc doc;

	patroni_destroy(c->patroni);
	c->patroni = NULL;
	loop_timer_cancel(&c->poll_timer);
	static_doc(c->options, &doc);
	if (doc.count > 1 && !c->view.has_probes)
		log_error("cluster_needs_user", "cluster=%s hosts=%u reason=\"several hosts can't be "
			  "told apart without user and password of the cluster\"", c->name, doc.count);
	view_on_cluster(&c->view, &doc);
}

/* NULL: no https here, or its files are no use, which is logged. */
static struct tls_context *patroni_tls(const struct cluster *c)
{
	const struct tls_options options = {
		.side = TLS_SIDE_CLIENT,
		.mode = TLS_MODE_VERIFY_FULL,
		.ca_file = c->options->patroni_ca_file,
		.cert_file = c->options->patroni_cert_file,
		.key_file = c->options->patroni_key_file,
		.is_http = true,
	};
	struct tls_context *tls = NULL;
	char why[256];

	if (c->options->patroni_ca_file[0] &&
	    tls_context_create(&options, &tls, why, sizeof why) != WEIR_OK)
		log_error("patroni_tls_failed", "cluster=%s error=\"patroni_%s\"", c->name, why);
	return tls;
}

static void configure_patroni(struct cluster *c)
{
	struct tls_context *tls = patroni_tls(c);
	uint64_t timeout_ms = c->config->global.probe_timeout_us / 1000;

	if (c->patroni == NULL)
		c->patroni = patroni_create(&c->net, &patroni_ops, c);
	patroni_configure(c->patroni, c->options->patroni_urls, c->options->patroni_url_count,
			  timeout_ms < ASK_TIMEOUT_MAX_MS ? (unsigned)timeout_ms : ASK_TIMEOUT_MAX_MS, tls);
	tls_context_put(&tls);
	if (!c->view.has_probes)
		log_warn("cluster_unprobed", "cluster=%s reason=\"no user: Patroni's word on the primary "
			 "isn't confirmed and no replica is known to be fresh\"", c->name);
	look(c);
	arm_poll(c);
}

static void take_config(struct cluster *c, const struct config *config,
			const struct config_cluster *options)
{
	struct config *old = c->config;

	c->config = config_get((struct config *)(uintptr_t)config);
	c->options = options;
	config_put(&old);
}

void cluster_configure(struct cluster *c, const struct config *config,
		       const struct config_cluster *options)
{
	/* A single static host is the primary as it is: nothing to find out. */
	bool has_probes = has_credentials(options) && !(options->is_static && options->host_count == 1);

	WEIR_CHECK_MAGIC(c, CLUSTER_MAGIC);
	take_config(c, config, options);
	for (uint16_t id = 0; id < TOPOLOGY_NODES_MAX; id++) {
		probe_destroy(c->probes[id]); /* credentials may have changed */
		c->probes[id] = NULL;
	}
	c->replicas_due = false;
	view_set_rules(&c->view, options->is_static, has_probes);
	if (options->is_static)
		configure_static(c);
	else
		configure_patroni(c);
	fit_probes(c);
	loop_timer_cancel(&c->probe_timer);
	if (has_probes)
		loop_timer_arm(c->net.loop, &c->probe_timer, 0, on_probe_timer);
	cluster_apply(c, VIEW_CHANGED);
}

struct cluster *cluster_create(const struct pg_session_net *net, const struct cluster_ops *ops,
			       void *arg, const struct config *config,
			       const struct config_cluster *options)
{
	struct cluster *c = mem_zalloc(sizeof *c);

	c->magic = CLUSTER_MAGIC;
	c->name = mem_strdup(options->name);
	c->net = *net;
	c->ops = ops;
	c->arg = arg;
	c->live = live_nodes(options->name);
	view_init(&c->view, options->is_static, false, (uint32_t)(clock_wall_us() / 1000000));
	cluster_configure(c, config, options);
	return c;
}

void cluster_destroy(struct cluster *c)
{
	if (c == NULL)
		return;
	WEIR_CHECK_MAGIC(c, CLUSTER_MAGIC);
	loop_timer_cancel(&c->poll_timer);
	loop_timer_cancel(&c->probe_timer);
	loop_timer_cancel(&c->hurry_timer);
	loop_timer_cancel(&c->again_timer);
	for (uint16_t id = 0; id < TOPOLOGY_NODES_MAX; id++)
		probe_destroy(c->probes[id]);
	patroni_destroy(c->patroni);
	topology_put(&c->topology);
	config_put(&c->config);
	mem_free(c->name);
	c->magic = 0;
	mem_free(c);
}

const char *cluster_name(const struct cluster *c)
{
	return c->name;
}

struct topology *cluster_topology(const struct cluster *c)
{
	return c->topology;
}

void cluster_suspect(struct cluster *c, uint16_t node_id)
{
	WEIR_CHECK_MAGIC(c, CLUSTER_MAGIC);
	if (node_id < TOPOLOGY_NODES_MAX && c->probes[node_id])
		probe_start(c->probes[node_id], c->config->global.probe_timeout_us, true);
	look_soon(c);
}

void cluster_probe(struct cluster *c)
{
	WEIR_CHECK_MAGIC(c, CLUSTER_MAGIC);
	if (c->view.has_probes && clock_monotonic_us() - c->probed_us >= PROBE_PAUSE_US)
		probe_round(c);
}
