/* SPDX-License-Identifier: PostgreSQL */
/*
 * The life of a connection: open, connect, close, move between loops, and the
 * calls that the loop makes for it at the turn's end. Reading is in
 * conn_read.c, writing in conn_write.c, TLS in conn_tls.c.
 *
 * The one rule behind it: no callback from inside a conn_* call of the owner.
 * What such a call finds out (a broken pipe while flushing, kept bytes after
 * resuming) becomes a bit in conn->wakes, and the loop makes the call.
 */
#include "net/conn.h"

#include <errno.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/conn_priv.h"
#include "net/socket.h"
#include "net/tls_session.h"

static void conn_init(struct conn *conn, struct loop *loop, const struct conn_ops *ops,
                      const struct conn_limits *limits)
{
	memset(conn, 0, sizeof(*conn));
	conn->magic = CONN_MAGIC;
	conn->fd = -1;
	conn->loop = loop;
	conn->ops = ops;
	conn->limits = limits;
}

void conn_open(struct conn *conn, struct loop *loop, int fd, const struct conn_ops *ops,
               const struct conn_limits *limits)
{
	WEIR_ASSERT(fd >= 0);
	conn_init(conn, loop, ops, limits);
	conn->fd = fd;
	conn->state = CONN_OPEN;
	conn_read_init(conn);
	conn_read_arm(conn);
}

enum weir_err conn_connect(struct conn *conn, struct loop *loop, const struct sockaddr *addr,
                           socklen_t addr_len, const struct conn_ops *ops,
                           const struct conn_limits *limits)
{
	conn_init(conn, loop, ops, limits);
	conn->fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (conn->fd < 0)
		goto fail;
	socket_tune(conn->fd, &loop->tuning);
	if (connect(conn->fd, addr, addr_len) < 0 && errno != EINPROGRESS)
		goto fail;
	conn->state = CONN_CONNECTING;
	conn_read_init(conn);
	if (!conn_backlog_need(conn))
		goto fail;
	conn_write_arm(conn);
	return WEIR_OK;
fail:
	log_debug("connect_refused", "errno=%d", errno);
	if (conn->fd >= 0)
		close(conn->fd);
	conn->fd = -1;
	conn->state = CONN_CLOSED;
	return WEIR_ERR_IO;
}

/* Leaves every list and drops every buffer; the socket stays. */
static void conn_detach(struct conn *conn)
{
	conn_sends_settle(conn);
	if (conn->tls && conn->backlog && conn->backlog->sealed > 0)
		tls_session_cut(conn->tls);
	if (list_node_linked(&conn->dirty_node))
		list_remove(&conn->loop->dirty, &conn->dirty_node);
	if (list_node_linked(&conn->wake_node))
		list_remove(conn->wakes & ~CONN_WAKE_READ ? &conn->loop->wakes : &conn->loop->again,
		            &conn->wake_node);
	conn->wakes = 0;
	conn->is_delivering = false;
	conn_read_disarm(conn);
	conn_kept_drop(conn);
	conn_spans_drop(conn);
	conn_backlog_drop(conn);
}

/* Returns the socket, which is nobody's. */
static int conn_strip(struct conn *conn)
{
	int fd = conn->fd;

	WEIR_ASSERT(conn->magic == CONN_MAGIC && conn->state != CONN_CLOSED);
	conn_detach(conn);
	if (conn->tls)
		tls_session_destroy(conn->tls);
	conn->tls = NULL;
	conn->fd = -1;
	conn->state = CONN_CLOSED;
	return fd;
}

void conn_close(struct conn *conn)
{
	if (conn->state != CONN_CLOSED)
		close(conn_strip(conn));
}

int conn_leave(struct conn *conn)
{
	int fd = conn_strip(conn);

	(void)shutdown(fd, SHUT_WR); /* fails where the peer has gone: its end is read next */
	return fd;
}

void conn_close_after_flush(struct conn *conn)
{
	if (conn->state == CONN_CONNECTING || conn->is_handshaking)
		conn_fail(conn, WEIR_ERR_CLOSED);
	if (conn->state != CONN_OPEN)
		return;
	conn->state = CONN_FLUSHING;
	conn_read_disarm(conn);
	conn_kept_drop(conn);
	if (!list_node_linked(&conn->dirty_node))
		list_append(&conn->loop->dirty, &conn->dirty_node);
}

bool conn_is_open(const struct conn *conn)
{
	return conn->state != CONN_CLOSED;
}

bool conn_is_idle(struct conn *conn)
{
	if (conn->state != CONN_OPEN)
		return false;
	conn_sends_settle(conn);
	return conn->state == CONN_OPEN && !conn->is_delivering && !conn->is_handshaking &&
	       !conn->is_eof && !conn->kept && !conn->backlog && conn->span_count == 0 &&
	       !conn_tls_has_pending(conn) && conn_read_recall(conn);
}

/* --- what the loop does for us at the turn's end --- */

void conn_wake(struct conn *conn, enum conn_wake wake)
{
	bool was_waking = (conn->wakes & ~CONN_WAKE_READ) != 0;
	bool is_waking;

	conn->wakes |= (uint8_t)wake;
	is_waking = (conn->wakes & ~CONN_WAKE_READ) != 0;
	if (list_node_linked(&conn->wake_node)) {
		if (was_waking == is_waking)
			return;
		list_remove(&conn->loop->again, &conn->wake_node);
	}
	list_append(is_waking ? &conn->loop->wakes : &conn->loop->again, &conn->wake_node);
}

static void conn_report(struct conn *conn)
{
	conn->ops->on_closed(conn, (enum weir_err)conn->error);
}

void conn_wake_run(struct conn *conn)
{
	uint8_t wakes = conn->wakes;

	conn->wakes = 0;
	if (wakes & CONN_WAKE_REPORT) {
		conn_report(conn);
		return;
	}
	if (wakes & CONN_WAKE_READ)
		conn_wake(conn, CONN_WAKE_READ);
	if ((wakes & CONN_WAKE_REDELIVER) && !conn->is_paused)
		conn_redeliver(conn);
}

static bool conn_die(struct conn *conn, enum weir_err why)
{
	if (conn->state == CONN_CLOSED || conn->state == CONN_DEAD)
		return false;
	conn_detach(conn);
	conn->state = CONN_DEAD;
	conn->error = (int8_t)why;
	return true;
}

void conn_fail(struct conn *conn, enum weir_err why)
{
	if (conn_die(conn, why))
		conn_wake(conn, CONN_WAKE_REPORT);
}

const char *conn_error_text(const struct conn *conn, enum weir_err why)
{
	const char *text = conn->os_error ? strerrordesc_np(conn->os_error) : NULL;

	return why == WEIR_ERR_IO && text ? text : weir_err_text(why);
}

void conn_fail_now(struct conn *conn, enum weir_err why)
{
	if (conn_die(conn, why))
		conn_report(conn);
}

/* --- moving between loops --- */

struct conn_moved conn_export(struct conn *conn)
{
	struct conn_moved moved = { .fd = conn->fd, .tls = conn->tls };

	WEIR_ASSERT(conn_is_idle(conn));
	conn_detach(conn);
	if (conn->tls)
		tls_session_leave(conn->tls);
	conn->fd = -1;
	conn->tls = NULL;
	conn->state = CONN_CLOSED;
	return moved;
}

void conn_adopt(struct conn *conn, struct loop *loop, struct conn_moved moved,
                const struct conn_ops *ops, const struct conn_limits *limits)
{
	conn_open(conn, loop, moved.fd, ops, limits);
	conn->tls = moved.tls;
	if (conn->tls)
		tls_session_enter(conn->tls, loop);
}

/* --- inspection --- */

int conn_fd(const struct conn *conn)
{
	return conn->fd;
}

void conn_peer_name(const struct conn *conn, char *host, size_t host_size, uint16_t *port)
{
	struct sockaddr_storage addr = { 0 };
	socklen_t len = sizeof(addr);

	if (getpeername(conn->fd, (struct sockaddr *)&addr, &len) < 0)
		addr.ss_family = AF_UNSPEC;
	socket_name(&addr, host, host_size, port);
}

bool conn_peer_address(const struct conn *conn, struct sockaddr_storage *addr)
{
	socklen_t len = sizeof(*addr);

	return getpeername(conn->fd, (struct sockaddr *)addr, &len) == 0;
}

void conn_local_name(const struct conn *conn, char *host, size_t host_size, uint16_t *port)
{
	struct sockaddr_storage addr = { 0 };
	socklen_t len = sizeof(addr);

	if (getsockname(conn->fd, (struct sockaddr *)&addr, &len) < 0)
		addr.ss_family = AF_UNSPEC;
	socket_name(&addr, host, host_size, port);
}

uint32_t conn_peer_pid(const struct conn *conn)
{
	struct ucred cred = { 0 }; /* the kernel has pid 0 for TCP */
	socklen_t len = sizeof(cred);

	return getsockopt(conn->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 ? (uint32_t)cred.pid : 0;
}
