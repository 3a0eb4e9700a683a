/* SPDX-License-Identifier: PostgreSQL */
/*
 * Start in order, end in reverse. SIGTERM begins the drain: /readyz says 503
 * and answers end their connections; after drain_delay nothing more is accepted;
 * the process ends when all connections are gone, at drain_timeout at the
 * latest. A second signal ends it at once.
 */
#include "backend/app.h"

#include <event2/dns.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>

#include "backend/api.h"
#include "backend/call.h"
#include "backend/http.h"
#include "backend/journal.h"
#include "backend/pool.h"
#include "backend/tasks.h"
#include "backend/timer.h"
#include "base/hash.h"

enum { US_PER_MS = 1000, LOOK_MS = 20, WHY_MAX = 256 };

struct drain {
	struct app *app;
	struct event *term, *interrupt;       /* owned */
	struct event *delay, *timeout, *look; /* owned; look: are all gone? */
};

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct drain *d = arg;

	(void)fd, (void)what;
	if (http_connections(d->app->http) == 0)
		event_base_loopbreak(d->app->base);
	else
		timer_set(d->look, LOOK_MS);
}

static void on_delay_over(evutil_socket_t fd, short what, void *arg)
{
	struct drain *d = arg;

	(void)fd, (void)what;
	http_stop_accepting(d->app->http);
	timer_set(d->timeout, d->app->options.drain_timeout_ms);
	timer_set(d->look, 0);
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct drain *d = arg;

	(void)fd, (void)what;
	journal(JOURNAL_WARN, "drain_timeout", "{s:i s:i}", "connections",
	        (int)http_connections(d->app->http), "requests", (int)d->app->calls.count);
	event_base_loopbreak(d->app->base);
}

static void on_signal(evutil_socket_t signal_number, short what, void *arg)
{
	struct drain *d = arg;
	struct app *app = d->app;

	(void)what;
	journal(JOURNAL_INFO, app->health.is_draining ? "stopping" : "draining", "{s:i s:i}", "signal",
	        (int)signal_number, "requests", (int)app->calls.count);
	if (app->health.is_draining) {
		event_base_loopbreak(app->base);
		return;
	}
	app->health.is_draining = true;
	http_drain(app->http);
	timer_set(d->delay, app->options.drain_delay_ms);
}

static void drain_init(struct drain *d, struct app *app)
{
	d->app = app;
	d->term = evsignal_new(app->base, SIGTERM, on_signal, d);
	d->interrupt = evsignal_new(app->base, SIGINT, on_signal, d);
	d->delay = evtimer_new(app->base, on_delay_over, d);
	d->timeout = evtimer_new(app->base, on_timeout, d);
	d->look = evtimer_new(app->base, on_look, d);
	event_add(d->term, NULL);
	event_add(d->interrupt, NULL);
}

static void drain_fini(struct drain *d)
{
	struct event *all[] = { d->term, d->interrupt, d->delay, d->timeout, d->look };

	for (size_t i = 0; i < WEIR_COUNTOF(all); i++)
		event_free(all[i]);
}

static int open_http(struct app *app, char *why, size_t why_size)
{
	const struct options *o = &app->options;
	const struct http_settings settings = {
		.listen = o->listen,
		.connections_max = o->http_connections_max,
		.body_max_bytes = o->body_max_bytes,
		.idle_timeout_ms = o->http_idle_timeout_ms,
		.request_timeout_ms = o->request_timeout_ms,
		.on_request = api_on_request,
		.on_refused = api_on_refused,
		.arg = app,
	};

	return http_open(app->base, &settings, &app->http, why, why_size);
}

static void open_pool(struct app *app)
{
	const struct pool_settings settings = {
		.link = { .base = app->base,
		          .dns = app->dns,
		          .address = &app->address,
		          .metrics = &app->metrics,
		          .connect_timeout_ms = app->options.db_connect_timeout_ms },
		.size = app->options.db_pool_size,
		.queue_max = app->options.db_queue_max,
	};

	app->pool = pool_create(&settings);
}

/* Host names are looked up by this, never by a blocking call. */
static struct evdns_base *open_dns(struct event_base *base)
{
	struct evdns_base *dns =
		evdns_base_new(base, EVDNS_BASE_INITIALIZE_NAMESERVERS | EVDNS_BASE_DISABLE_WHEN_INACTIVE);

	if (dns)
		return dns;
	/* No name server is configured: names of /etc/hosts are still known. */
	dns = evdns_base_new(base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	WEIR_ASSERT(dns);
	evdns_base_load_hosts(dns, "/etc/hosts");
	return dns;
}

static int app_init(struct app *app, const struct options *options, char *why, size_t why_size)
{
	int rc;

	app->options = *options;
	app->health.grace_us = (uint64_t)options->ready_grace_ms * US_PER_MS;
	list_init(&app->calls);
	rc = address_init(&app->address, options->database_url, options->request_timeout_ms, why,
	                  why_size);
	if (rc < 0)
		return rc;
	app->base = event_base_new();
	WEIR_ASSERT(app->base);
	app->dns = open_dns(app->base);
	return open_http(app, why, why_size);
}

static void app_fini(struct app *app)
{
	if (app->pool)
		call_abandon_all(app);
	tasks_destroy(app->tasks);
	http_close(app->http);
	pool_destroy(app->pool);
	if (app->dns)
		evdns_base_free(app->dns, 0);
	if (app->base)
		event_base_free(app->base);
	address_fini(&app->address);
}

int app_run(const struct options *options)
{
	struct app app = { 0 };
	struct drain drain;
	char why[WHY_MAX] = "";

	hash_seed_init();
	signal(SIGPIPE, SIG_IGN);
	if (app_init(&app, options, why, sizeof why) < 0) {
		journal(JOURNAL_ERROR, "start_failed", "{s:s}", "reason", why);
		app_fini(&app);
		return EXIT_FAILURE;
	}
	drain_init(&drain, &app);
	open_pool(&app);
	app.tasks = tasks_create(&app);
	journal(JOURNAL_INFO, "started", "{s:i s:i}", "port", http_port(app.http), "pool_size",
	        (int)options->db_pool_size);
	event_base_dispatch(app.base);
	drain_fini(&drain);
	app_fini(&app);
	journal(JOURNAL_INFO, "stopped", NULL);
	return EXIT_SUCCESS;
}
