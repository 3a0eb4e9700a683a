/* SPDX-License-Identifier: PostgreSQL */
/*
 * A canceler is one short connection to the server's address: it sends the
 * CancelRequest and waits until the server closes, which it does after the
 * signal was sent. Bounded in time by cancel_wait_timeout.
 */
#include "proxy/cancel.h"

#include "base/log.h"
#include "base/mem.h"
#include "net/resolver.h"
#include "proxy/backend.h"
#include "proxy/hear.h"
#include "proxy/keydata.h"
#include "proxy/link.h"
#include "wire/build.h"

enum {
	CANCELER_MAGIC = 0x434e434c,
	CANCELERS_MAX = 1024,
	CANCEL_MESSAGE_MAX = 512,
	CANCEL_BOUND_US = 10000000, /* where cancel_wait_timeout sets none */
};

struct cancel_mail {
	struct mail mail;
	uint32_t pid;
	unsigned hops; /* workers that may still be asked */
	size_t secret_len;
	uint8_t secret[CANCEL_SECRET_MAX];
};

struct canceler {
	unsigned magic;
	struct conn conn;
	struct list_node node; /* in proxy->cancelers */
	struct proxy *proxy;   /* borrowed */
	struct server *server; /* borrowed; NULL: closed meanwhile */
	struct buf message;
	struct loop_timer timer;
	struct loop_deferred deferred;
};

static void on_deferred_free(struct loop_deferred *deferred)
{
	mem_free(list_entry(deferred, struct canceler, deferred));
}

static void canceler_end(struct canceler *k)
{
	struct server *s = k->server;

	loop_timer_cancel(&k->timer);
	if (conn_is_open(&k->conn))
		conn_close(&k->conn);
	list_remove(&k->proxy->cancelers, &k->node);
	buf_fini(&k->message);
	k->magic = 0;
	k->deferred.run = on_deferred_free;
	loop_defer(k->proxy->loop, &k->deferred);
	if (s && --s->cancels == 0 && s->state == SERVER_CANCELED)
		link_server_free(s);
}

static struct canceler *canceler_of(struct conn *conn)
{
	struct canceler *k = list_entry(conn, struct canceler, conn);

	WEIR_CHECK_MAGIC(k, CANCELER_MAGIC);
	return k;
}

static size_t on_bytes(struct conn *conn, struct slice bytes)
{
	(void)conn; /* a server answers nothing to a CancelRequest */
	return bytes.len;
}

static void on_connected(struct conn *conn)
{
	struct canceler *k = canceler_of(conn);

	conn_send_copy(conn, buf_slice(&k->message));
}

static void on_closed(struct conn *conn, enum weir_err why)
{
	(void)why;
	canceler_end(canceler_of(conn));
}

static const struct conn_ops canceler_ops = {
	.on_bytes = on_bytes,
	.on_connected = on_connected,
	.on_closed = on_closed,
};

static void on_timeout(struct loop_timer *timer)
{
	canceler_end(list_entry(timer, struct canceler, timer));
}

/* Where the connection is, not where another look at the name would lead. */
static bool address_of(const struct proxy *p, const struct server *s, struct resolved *out)
{
	*out = (struct resolved){ .count = 1 };
	if (*s->host == '/' || *s->host == '@')
		return resolver_try(p->shared->resolver, s->host, s->port, out) == WEIR_OK;
	out->at[0].len = sizeof out->at[0].addr;
	return getpeername(conn_fd(&s->conn), (struct sockaddr *)&out->at[0].addr,
			   &out->at[0].len) == 0;
}

static void send_cancel(struct proxy *p, struct server *s)
{
	uint64_t bound = p->settings->config->global.cancel_wait_timeout_us;
	struct resolved resolved;
	struct canceler *k;

	if (p->cancelers.count >= CANCELERS_MAX || !s->key_len || !address_of(p, s, &resolved))
		return;
	k = mem_zalloc(sizeof *k);
	k->magic = CANCELER_MAGIC;
	k->proxy = p;
	k->server = s;
	s->cancels++;
	list_append(&p->cancelers, &k->node);
	buf_init(&k->message, CANCEL_MESSAGE_MAX);
	build_cancel_request(&k->message, s->pid, slice_of(s->key, s->key_len));
	loop_timer_arm(p->loop, &k->timer, bound ? bound : CANCEL_BOUND_US, on_timeout);
	if (conn_connect(&k->conn, p->loop, (const struct sockaddr *)&resolved.at[0].addr,
			 resolved.at[0].len, &canceler_ops, &p->server_limits) != WEIR_OK)
		canceler_end(k);
}

static void cancel_client(struct proxy *p, struct client *c)
{
	switch (c->state) {
	case CLIENT_ACTIVE:
		if (c->server)
			send_cancel(p, c->server);
		break;
	case CLIENT_WAIT_NODE:
	case CLIENT_WAIT_SERVER:
		link_cancel_wait(c);
		break;
	case CLIENT_WAIT_CACHE:
		c->is_canceled = true;
		break;
	case CLIENT_WAIT_HEARD:
		c->is_canceled = hear_is_before_request(c);
		break;
	default: /* nothing runs: PostgreSQL ignores it too */
		break;
	}
}

static void on_cancel_mail(struct mail *mail, void *receiver);

/* Here, or by the next worker: whose key it is shows only where it is known. */
static void cancel_look(struct proxy *p, struct cancel_mail *m)
{
	struct proxy_shared *shared = p->shared;
	struct client *c = keydata_find(p, m->pid, slice_of((const char *)m->secret, m->secret_len));

	if (!c && m->hops) {
		m->hops--;
		m->mail.deliver = on_cancel_mail;
		mailbox_post(shared->proxies[(p->index + 1) % shared->worker_count]->mailbox, &m->mail);
		return;
	}
	metrics_add(p->metrics, c ? METRIC_CANCELS : METRIC_CANCELS_UNKNOWN, 1);
	if (c)
		cancel_client(p, c);
	mem_free(m);
}

static void on_cancel_mail(struct mail *mail, void *receiver)
{
	cancel_look(receiver, list_entry(mail, struct cancel_mail, mail));
}

void cancel_request(struct proxy *p, uint32_t pid, struct slice key)
{
	struct cancel_mail *m;

	if (key.len > CANCEL_SECRET_MAX)
		return;
	m = mem_zalloc(sizeof *m);
	m->pid = pid;
	m->hops = p->shared->worker_count - 1;
	m->secret_len = key.len;
	memcpy(m->secret, key.ptr, key.len);
	cancel_look(p, m);
}

void cancel_forget_server(struct proxy *p, struct server *s)
{
	list_foreach(&p->cancelers, n) {
		struct canceler *k = list_entry(n, struct canceler, node);

		if (k->server == s)
			k->server = NULL;
	}
}

void cancel_close_all(struct proxy *p)
{
	struct list_node *n;

	while ((n = list_first(&p->cancelers)) != NULL)
		canceler_end(list_entry(n, struct canceler, node));
}
