/* SPDX-License-Identifier: PostgreSQL */
/*
 * See broadcast.h. The run_ functions are the workers' half.
 */
#include "worker/broadcast.h"

#include "base/mem.h"
#include "proxy/hear.h"
#include "proxy/listen.h"
#include "tier/catalog.h"
#include "tier/pg_session.h"
#include "tier/topology.h"
#include "worker/control_priv.h"

enum { GATE_PAUSED = 1, GATE_DISABLED = 2 };

static void run_topology(struct task *t, struct proxy *p)
{
	struct topology *topology = t->ptr;

	proxy_set_topology(p, t->text, topology);
	topology_put(&topology);
}

static void run_catalog(struct task *t, struct proxy *p)
{
	struct catalog *catalog = t->ptr;

	proxy_set_catalog(p, t->text, catalog);
	catalog_put(&catalog);
}

static void run_listening(struct task *t, struct proxy *p)
{
	listen_is_live(p, t->text, t->ptr);
	mem_free(t->ptr);
}

static void run_notification(struct task *t, struct proxy *p)
{
	struct notification *n = t->ptr;

	hear_notified(p, t->text, n);
	mem_free(n);
}

static void run_caught_up(struct task *t, struct proxy *p)
{
	hear_caught_up(p, t->number);
}

static void run_settings(struct task *t, struct proxy *p)
{
	struct settings *settings = t->ptr;

	proxy_set_settings(p, settings);
	settings_put(&settings);
}

static void run_gate(struct task *t, struct proxy *p)
{
	struct gate_state state = {
		.is_paused = (t->number & GATE_PAUSED) != 0,
		.is_disabled = (t->number & GATE_DISABLED) != 0,
	};

	proxy_set_gate(p, t->text, state);
}

static void run_resume(struct task *t, struct proxy *p)
{
	(void)t;
	proxy_resume_all(p);
}

static void run_drain(struct task *t, struct proxy *p)
{
	(void)t;
	proxy_drain(p);
}

void broadcast_topology(struct control *c, const char *cluster, struct topology *topology)
{
	for (unsigned i = 0; i < c->worker_count; i++) {
		struct task *t = task_create(run_topology);

		t->text = mem_strdup(cluster);
		t->ptr = topology_get(topology);
		worker_post(c->workers[i], t);
	}
}

void broadcast_catalog(struct control *c, const char *database, struct catalog *catalog)
{
	for (unsigned i = 0; i < c->worker_count; i++) {
		struct task *t = task_create(run_catalog);

		t->text = mem_strdup(database);
		t->ptr = catalog_get(catalog);
		worker_post(c->workers[i], t);
	}
}

void broadcast_listening(struct control *c, const char *database, const char *channel)
{
	for (unsigned i = 0; i < c->worker_count; i++) {
		struct task *t = task_create(run_listening);

		t->text = mem_strdup(database);
		t->ptr = mem_strdup(channel);
		worker_post(c->workers[i], t);
	}
}

/* Texts behind the struct, in one block. */
static struct notification *copy_notification(const struct pg_notification *n)
{
	size_t channel = strlen(n->channel) + 1, payload = strlen(n->payload) + 1;
	struct notification *copy = mem_alloc(sizeof *copy + channel + payload);
	char *text = (char *)(copy + 1);

	copy->pid = (uint32_t)n->pid;
	copy->channel = memcpy(text, n->channel, channel);
	copy->payload = memcpy(text + channel, n->payload, payload);
	return copy;
}

void broadcast_notification(struct control *c, const char *database,
			    const struct pg_notification *n)
{
	for (unsigned i = 0; i < c->worker_count; i++) {
		struct task *t = task_create(run_notification);

		t->text = mem_strdup(database);
		t->ptr = copy_notification(n);
		worker_post(c->workers[i], t);
	}
}

void broadcast_caught_up(struct control *c, uint64_t client_id)
{
	struct task *t = task_create(run_caught_up);

	t->number = client_id;
	worker_post(c->workers[client_id >> CLIENT_ID_BITS], t);
}

void broadcast_settings(struct control *c, struct settings *settings)
{
	for (unsigned i = 0; i < c->worker_count; i++) {
		struct task *t = task_create(run_settings);

		t->ptr = settings_get(settings);
		worker_post(c->workers[i], t);
	}
}

void broadcast_gate(struct control *c, const char *database, struct gate_state state)
{
	for (unsigned i = 0; i < c->worker_count; i++) {
		struct task *t = task_create(run_gate);

		t->text = mem_strdup(database);
		t->number = (state.is_paused ? GATE_PAUSED : 0u) | (state.is_disabled ? GATE_DISABLED : 0u);
		worker_post(c->workers[i], t);
	}
}

void broadcast_resume(struct control *c)
{
	for (unsigned i = 0; i < c->worker_count; i++)
		worker_post(c->workers[i], task_create(run_resume));
}

void broadcast_drain(struct control *c)
{
	for (unsigned i = 0; i < c->worker_count; i++)
		worker_post(c->workers[i], task_create(run_drain));
}
