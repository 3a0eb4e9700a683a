/* SPDX-License-Identifier: PostgreSQL */
/*
 * The backlog: a copy of what waits to be written, for the socket, for connect
 * or for the TLS handshake. It exists, with its write event, only meanwhile.
 *
 * On TLS it holds what the session has yet to seal. In front of that may lie
 * records that a ring sent in part: their rest is sent as it is.
 */
#include "base/mem.h"
#include "net/conn_priv.h"
#include "net/tls_session.h"

enum { CONN_BACKLOG_FIRST = 4096 };

size_t conn_backlog_bytes(const struct conn *conn)
{
	return conn->backlog ? conn->backlog->end - conn->backlog->off : 0;
}

static void on_write_event(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	conn_write_ready(arg);
}

bool conn_backlog_need(struct conn *conn)
{
	struct conn_backlog *b;

	if (conn->backlog)
		return true;
	b = mem_try_alloc(sizeof(*b));
	if (!b)
		return false;
	memset(b, 0, sizeof(*b));
	b->conn = conn;
	watch_init(&b->watch, conn->loop,
	           (struct watch_spec){ conn->fd, WATCH_WRITE, on_write_event, conn });
	conn->backlog = b;
	return true;
}

void conn_write_arm(struct conn *conn)
{
	if (conn->backlog->is_armed)
		return;
	watch_start(&conn->backlog->watch, conn->loop);
	conn->backlog->is_armed = true;
}

void conn_write_disarm(struct conn *conn)
{
	if (!conn->backlog || !conn->backlog->is_armed)
		return;
	watch_stop(&conn->backlog->watch, conn->loop);
	conn->backlog->is_armed = false;
}

void conn_backlog_drop(struct conn *conn)
{
	struct conn_backlog *b = conn->backlog;

	if (!b)
		return;
	conn_write_disarm(conn);
	loop_timer_cancel(&b->linger);
	mem_free(b->data);
	mem_free(b);
	conn->backlog = NULL;
}

/* Nothing points into a backlog, so it may be moved in place. */
static bool backlog_reserve(struct conn_backlog *b, size_t more)
{
	size_t len = b->end - b->off, cap = b->cap ? b->cap : CONN_BACKLOG_FIRST;
	char *grown;

	if (b->cap - b->end >= more)
		return true;
	if (b->off > 0)
		memmove(b->data, b->data + b->off, len);
	b->off = 0;
	b->end = len;
	if (b->cap - len >= more)
		return true;
	if (more > SIZE_MAX / 2 - len)
		return false;
	while (cap < len + more)
		cap *= 2;
	grown = mem_try_realloc(b->data, cap);
	if (!grown)
		return false;
	b->data = grown;
	b->cap = cap;
	return true;
}

void conn_backlog_append(struct conn *conn, struct slice bytes)
{
	struct conn_backlog *b;

	if (bytes.len == 0)
		return;
	if (!conn_backlog_need(conn) || !backlog_reserve(conn->backlog, bytes.len)) {
		conn_fail(conn, WEIR_ERR_MEMORY);
		return;
	}
	b = conn->backlog;
	memcpy(b->data + b->end, bytes.ptr, bytes.len);
	b->end += bytes.len;
	if (conn_backlog_bytes(conn) > conn->limits->high_water_bytes)
		conn->is_congested = true;
}

/* Until its end the session itself writes nothing. */
void conn_backlog_set_sealed(struct conn *conn, size_t bytes)
{
	conn->backlog->sealed = bytes;
	tls_session_hold(conn->tls, bytes > 0);
}

ssize_t conn_backlog_transmit(struct conn *conn)
{
	struct conn_backlog *b = conn->backlog;
	ssize_t sent;

	if (b->sealed == 0)
		return conn_transmit(conn, b->data + b->off, b->end - b->off);
	sent = conn_transmit_sealed(conn, b->data + b->off, b->sealed);
	if (sent > 0)
		conn_backlog_set_sealed(conn, b->sealed - (size_t)sent);
	return sent;
}
