/* SPDX-License-Identifier: PostgreSQL */
/*
 * The one place that knows whether a connection's bytes go through TLS, and
 * the handshake. No bytes read before the handshake may be left over, and the
 * handshake begins only after everything queued in plain has left.
 */
#include <errno.h>

#include "base/log.h"
#include "net/conn_priv.h"
#include "net/tls_priv.h"
#include "net/tls_session.h"

/* The result of a failed recv or send. */
ssize_t conn_io_failed(void)
{
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		return CONN_IO_AGAIN;
	log_debug("connection_lost", "errno=%d", errno);
	return CONN_IO_ERROR;
}

static ssize_t plain_receive(struct conn *conn, void *at, size_t room)
{
	ssize_t got;

	conn->loop->stats.reads++;
	do
		got = recv(conn->fd, at, room, 0);
	while (got < 0 && errno == EINTR);
	if (got > 0)
		return got;
	return got == 0 ? CONN_IO_CLOSED : conn_io_failed();
}

/* A TLS call that wants to write although it reads: the write event goes on with it. */
static ssize_t wait_writable(struct conn *conn)
{
	if (!conn_backlog_need(conn))
		return CONN_IO_ERROR;
	conn_write_arm(conn);
	return CONN_IO_AGAIN;
}

/* Bytes or a result of the session's as conn_receive's. */
static ssize_t receive_result(struct conn *conn, ssize_t got)
{
	switch (got) {
	case TLS_WANT_READ:
		return CONN_IO_AGAIN;
	case TLS_WANT_WRITE:
		return wait_writable(conn);
	case TLS_CLOSED:
		return CONN_IO_CLOSED;
	case TLS_FAILED:
		return CONN_IO_TLS;
	default:
		return got;
	}
}

static ssize_t tls_receive(struct conn *conn, void *at, size_t room)
{
	conn->loop->stats.reads++;
	return receive_result(conn, tls_session_read(conn->tls, at, room));
}

ssize_t conn_receive(struct conn *conn, void *at, size_t room)
{
	ssize_t got = conn->tls ? tls_receive(conn, at, room) : plain_receive(conn, at, room);

	if (got > 0)
		conn->loop->turn_read_bytes += (size_t)got;
	return got;
}

static ssize_t plain_transmit(struct conn *conn, const void *bytes, size_t len)
{
	ssize_t sent;

	do
		sent = send(conn->fd, bytes, len, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent >= 0 ? sent : conn_io_failed();
}

static ssize_t tls_transmit(struct conn *conn, const void *bytes, size_t len)
{
	ssize_t sent = tls_session_write(conn->tls, bytes, len);

	switch (sent) {
	case TLS_WANT_READ:
	case TLS_WANT_WRITE:
		return CONN_IO_AGAIN;
	case TLS_CLOSED:
		return CONN_IO_ERROR;
	case TLS_FAILED:
		return CONN_IO_TLS;
	default:
		return sent;
	}
}

ssize_t conn_transmit(struct conn *conn, const void *bytes, size_t len)
{
	conn->loop->stats.writes++;
	return conn->tls ? tls_transmit(conn, bytes, len) : plain_transmit(conn, bytes, len);
}

/* --- through the ring --- */

ssize_t conn_open_records(struct conn *conn, struct slice *records, void *at, size_t room)
{
	ssize_t got = tls_session_open(conn->tls, records, at, room);

	/* What is left of the records would be lost. Nothing that we agree to makes reading write. */
	if (got == TLS_WANT_WRITE && records->len > 0)
		return CONN_IO_TLS;
	return receive_result(conn, got);
}

bool conn_seal(struct conn *conn, struct slice *bytes)
{
	size_t room = tls_session_seal_room(bytes->len);
	char *out = loop_turn_alloc(conn->loop, room);
	ssize_t len = tls_session_seal(conn->tls, *bytes, out, room);

	if (len < 0)
		return false;
	*bytes = slice_of(out, (size_t)len);
	return true;
}

ssize_t conn_transmit_sealed(struct conn *conn, const void *bytes, size_t len)
{
	conn->loop->stats.writes++;
	return plain_transmit(conn, bytes, len);
}

bool conn_tls_has_pending(const struct conn *conn)
{
	return conn->tls && tls_session_has_pending(conn->tls);
}

const struct tls_session *conn_tls(const struct conn *conn)
{
	return conn->is_handshaking ? NULL : conn->tls;
}

static void handshake_wait(struct conn *conn, int want)
{
	if (want == TLS_WANT_WRITE) {
		conn_read_disarm(conn); /* bytes that nobody takes would wake us again and again */
		if (wait_writable(conn) != CONN_IO_AGAIN)
			conn_fail_now(conn, WEIR_ERR_MEMORY);
		return;
	}
	conn_write_disarm(conn);
	conn_read_arm(conn);
}

static void handshake_done(struct conn *conn)
{
	conn->is_handshaking = false;
	tls_session_enter(conn->tls, conn->loop);
	conn_read_arm(conn);
	if (conn_backlog_bytes(conn) > 0)
		conn_write_arm(conn);
	else
		conn_backlog_drop(conn);
	if (conn_tls_has_pending(conn))
		conn_wake(conn, CONN_WAKE_READ);
	if (conn->ops->on_tls_ready)
		conn->ops->on_tls_ready(conn);
}

static void handshake_result(struct conn *conn, int rc)
{
	if (rc == 0)
		handshake_done(conn);
	else if (rc == TLS_WANT_READ || rc == TLS_WANT_WRITE)
		handshake_wait(conn, rc);
	else
		conn_fail_now(conn, rc == TLS_CLOSED ? WEIR_ERR_CLOSED : WEIR_ERR_TLS);
}

void conn_tls_step(struct conn *conn)
{
	handshake_result(conn, tls_session_handshake(conn->tls));
}

bool conn_tls_is_refused(const struct conn *conn)
{
	return conn->tls && conn->is_handshaking && tls_peer_is_refused(conn->tls);
}

void conn_expect_tls(struct conn *conn)
{
	WEIR_ASSERT(conn->state == CONN_OPEN && !conn->tls && conn->ops->on_tls_hello);
	conn->expects_tls = true;
}

size_t conn_tls_first(struct conn *conn, struct slice bytes)
{
	enum { TLS_RECORD_HANDSHAKE = 22 }; /* ContentType, RFC 8446, section 5.1 */

	conn->expects_tls = false;
	if (bytes.ptr[0] != TLS_RECORD_HANDSHAKE)
		return conn->ops->on_bytes(conn, bytes);
	conn->ops->on_tls_hello(conn);
	if (conn->state == CONN_OPEN && conn->is_handshaking)
		handshake_result(conn, tls_session_hello(conn->tls, bytes));
	return bytes.len;
}

enum weir_err conn_start_tls(struct conn *conn, struct tls_context *ctx, const char *host)
{
	if (conn->state != CONN_OPEN)
		return WEIR_ERR_CLOSED;
	if (conn->tls || (conn->kept && !conn->is_delivering))
		return WEIR_ERR_PROTOCOL;
	conn_push(conn);
	conn_sends_settle(conn);
	if (conn->state != CONN_OPEN || conn_backlog_bytes(conn) > 0)
		return WEIR_ERR_IO;
	if (!conn_read_recall(conn))
		return WEIR_ERR_PROTOCOL; /* read before the handshake, and not to be put back */
	conn->tls = tls_session_create(ctx, conn->fd, host);
	if (!conn->tls)
		return WEIR_ERR_TLS;
	conn->is_handshaking = true;
	conn_read_arm(conn);
	if (tls_context_side(ctx) == TLS_SIDE_CLIENT) /* it speaks first */
		conn_wake(conn, CONN_WAKE_READ);
	return WEIR_OK;
}
