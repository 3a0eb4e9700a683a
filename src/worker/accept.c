/* SPDX-License-Identifier: PostgreSQL */
/*
 * The listener runs on the loop of whoever accepts. A client counts for its worker
 * from the moment it is accepted, so that a burst is spread evenly.
 */
#include "worker/accept.h"

#include "net/listener.h"
#include "worker/control_priv.h"

enum { DEFER_ACCEPT_S = 45 };

static void run_accept(struct task *t, struct proxy *p)
{
	proxy_accept(p, (int)t->number, t->flag);
}

static unsigned least_loaded(struct control *c)
{
	unsigned best = 0;
	uint32_t best_load = UINT32_MAX;

	for (unsigned i = 0; i < c->worker_count; i++) {
		uint32_t load = atomic_load_explicit(&c->shared.proxies[i]->client_load,
						     memory_order_relaxed);

		if (load < best_load) {
			best_load = load;
			best = i;
		}
	}
	return best;
}

/* On the control plane's thread. */
static void hand_out(void *receiver, int fd, bool is_unix)
{
	struct control *c = receiver;
	unsigned i = least_loaded(c);
	struct task *t = task_create(run_accept);

	t->number = (uint64_t)fd;
	t->flag = is_unix;
	proxy_expect_client(c->shared.proxies[i]);
	worker_post(c->workers[i], t);
}

/* On the only worker's thread. */
static void keep(void *receiver, int fd, bool is_unix)
{
	struct proxy *p = receiver;

	proxy_expect_client(p);
	proxy_accept(p, fd, is_unix);
}

static struct listener_options options_of(const struct control *c)
{
	const struct config_globals *g = &c->settings->config->global;
	struct listener_options o = {
		.addresses = g->listen_addr,
		.port = (uint16_t)g->listen_port,
		.unix_dir = g->unix_socket_dir,
		.unix_mode = (unsigned)g->unix_socket_mode,
		.unix_group = g->unix_socket_group,
		.backlog = g->listen_backlog,
		.reuse_port = g->so_reuseport,
		.tcp_defer_accept_s = g->tcp_defer_accept ? DEFER_ACCEPT_S : 0,
	};

	settings_tuning(c->settings, &o.socket);
	return o;
}

int accept_open(struct control *c, char *why, size_t why_size)
{
	struct listener_options o = options_of(c);
	struct listener *l;

	if (c->worker_count > 1) {
		if (listener_open(c->loop, &o, hand_out, c, &c->listener, why, why_size))
			return -1;
	} else {
		if (listener_open(worker_loop(c->workers[0]), &o, keep, c->shared.proxies[0], &l,
				  why, why_size))
			return -1;
		worker_listen(c->workers[0], l);
	}
	c->is_accepting = true;
	return 0;
}

void accept_close(struct control *c)
{
	if (!c->is_accepting)
		return;
	c->is_accepting = false;
	if (c->listener)
		listener_close(c->listener);
	else
		worker_stop_listening_post(c->workers[0]);
	c->listener = NULL;
}
