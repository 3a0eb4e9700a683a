/* SPDX-License-Identifier: PostgreSQL */
/*
 * A console query's way: the worker copies its text into a mail to the control
 * thread, admin/ answers there, the answer goes back as a task that finds the
 * client by its id, if it is still there. Also the HTTP pages and the tick.
 */
#include "worker/console.h"

#include "admin/admin.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/http_server.h"
#include "proxy/client.h"
#include "worker/console_source.h"
#include "worker/control_priv.h"

enum {
	TICK_US = 1000000,
	ANSWER_BYTES_MAX = 64 << 20,
	READY_BYTES = 6, /* ReadyForQuery, which the client's worker sends itself */
};

struct console_request { /* heap; one thread at a time */
	struct mail mail;
	struct admin_request request;
	struct control *control;
	unsigned worker;
	uint64_t client_id;
	char *sql; /* owned */
};

static void request_destroy(struct console_request *r)
{
	buf_fini(&r->request.out);
	mem_free(r->sql);
	mem_free(r);
}

/* On the client's worker again. */
static void run_reply(struct task *t, struct proxy *p)
{
	struct console_request *r = t->ptr;
	struct client *client = proxy_client_by_id(p, r->client_id);
	struct slice answer = buf_slice(&r->request.out);

	WEIR_ASSERT(answer.len >= READY_BYTES);
	if (client && client->is_console)
		client_console_reply(client, slice_of(answer.ptr, answer.len - READY_BYTES));
	request_destroy(r);
}

static void on_done(struct admin_request *request)
{
	struct console_request *r = list_entry(request, struct console_request, request);
	struct task *t = task_create(run_reply);

	t->ptr = r;
	worker_post(r->control->workers[r->worker], t);
}

static void on_request(struct mail *mail, void *receiver)
{
	struct console_request *r = list_entry(mail, struct console_request, mail);
	struct control *c = receiver;

	r->control = c;
	if (!c->admin) {
		request_destroy(r);
		return;
	}
	buf_init(&r->request.out, ANSWER_BYTES_MAX);
	r->request.sql = r->sql;
	r->request.on_done = on_done;
	admin_run(c->admin, &r->request);
}

void console_hook(void *ctx, struct proxy *proxy, struct client *client, struct slice sql)
{
	struct control *c = ctx;
	struct console_request *r = mem_zalloc(sizeof *r);

	r->sql = mem_slicedup(sql);
	r->worker = proxy->index;
	r->client_id = client->id;
	r->request.role = client->is_admin ? ADMIN_ROLE_ADMIN : ADMIN_ROLE_STATS;
	r->mail.deliver = on_request;
	mailbox_post(c->mailbox, &r->mail);
}

void console_abandon(void *done_ctx)
{
	request_destroy(list_entry((struct admin_request *)done_ctx, struct console_request, request));
}

static void on_tick(struct loop_timer *timer)
{
	struct control *c = list_entry(timer, struct control, tick_timer);

	metrics_set(metrics_block(c->shared.metrics, c->worker_count), METRIC_SYSLOG_DROPPED,
		    log_syslog_dropped());
	admin_tick(c->admin, loop_now_us(c->loop));
	loop_timer_arm(c->loop, timer, TICK_US, on_tick);
}

void console_open(struct control *c)
{
	struct admin_source source;

	console_source_init(&source, c);
	c->admin = admin_create(&source);
	loop_timer_arm(c->loop, &c->tick_timer, TICK_US, on_tick);
}

static void on_page(void *arg, const struct http_request *request, struct http_reply *reply)
{
	struct control *c = arg;

	reply->status = admin_page(c->admin, request->path, &reply->body, &reply->content_type);
}

int console_open_http(struct control *c, char *why, size_t why_size)
{
	const struct config_endpoint *at = &c->settings->config->http;

	if (!at->host)
		return 0;
	return http_server_open(c->loop, at->host, at->port, on_page, c, &c->http, why, why_size) ? -1
	                                                                                          : 0;
}

void console_close(struct control *c)
{
	http_server_close(c->http);
	c->http = NULL;
	loop_timer_cancel(&c->tick_timer);
	if (c->admin)
		admin_destroy(c->admin);
	c->admin = NULL;
	console_orders_abandon(c);
}
