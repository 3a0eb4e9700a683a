/* SPDX-License-Identifier: PostgreSQL */
/*
 * Writing: spans queued in a turn leave together at its end.
 *
 * A span borrows turn memory or static memory. Adjacent spans are merged; one
 * span is one send(2), several small ones are gathered and sent as one, large
 * ones go out by sendmsg(2). What the socket doesn't take is copied to the
 * backlog (conn_backlog.c).
 */
#include <errno.h>
#include <sys/uio.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/conn_priv.h"
#include "net/ring.h"

enum {
	CONN_GATHER_MAX = 16 * 1024, /* copying less than this is cheaper than an iovec */
	CONN_IOV_MAX = 64,
	CONN_FIRST_SPANS = 16,
	CONN_LINGER_US = 5 * 1000000,
	CONN_DRAIN_READS = 16,
	CONN_DRAIN_BYTES = 4096,
};

/* Where in the queued spans writing has got to. */
struct span_cursor {
	uint32_t index;
	size_t off;
};

static struct slice span_at(const struct conn *conn, uint32_t index)
{
	return index == 0 ? conn->first_span : conn->more_spans[index - 1];
}

static struct slice span_rest(const struct conn *conn, struct span_cursor at)
{
	struct slice s = span_at(conn, at.index);

	return slice_of(s.ptr + at.off, s.len - at.off);
}

static void cursor_advance(const struct conn *conn, struct span_cursor *at, size_t len)
{
	while (len > 0) {
		size_t left = span_at(conn, at->index).len - at->off;

		if (len < left) {
			at->off += len;
			return;
		}
		len -= left;
		at->index++;
		at->off = 0;
	}
}

/* --- queueing --- */

/* The rest of the spans goes behind the backlog. */
static void backlog_append_spans(struct conn *conn, struct span_cursor at)
{
	for (; at.index < conn->span_count; at.index++, at.off = 0)
		conn_backlog_append(conn, span_rest(conn, at));
	if (conn->backlog && conn->state != CONN_CONNECTING && !conn->is_handshaking)
		conn_write_arm(conn);
}

static bool has_to_wait(const struct conn *conn)
{
	return conn->state == CONN_CONNECTING || conn->is_handshaking || conn_backlog_bytes(conn) > 0;
}

static uint32_t spans_room(const struct conn *conn)
{
	return conn->spans_order ? CONN_FIRST_SPANS << (conn->spans_order - 1) : 0;
}

static void spans_grow(struct conn *conn)
{
	uint32_t room = spans_room(conn);
	struct slice *grown;

	conn->spans_order++;
	grown = loop_turn_alloc(conn->loop, spans_room(conn) * sizeof(*grown));
	if (room)
		memcpy(grown, conn->more_spans, room * sizeof(*grown));
	conn->more_spans = grown;
}

static void spans_add(struct conn *conn, struct slice bytes)
{
	struct slice *last = &conn->first_span;

	if (conn->span_count == 0) {
		*last = bytes;
		conn->span_count = 1;
		return;
	}
	if (conn->span_count > 1)
		last = &conn->more_spans[conn->span_count - 2];
	if (last->ptr + last->len == bytes.ptr) {
		last->len += bytes.len;
		return;
	}
	if (conn->span_count - 1 == spans_room(conn))
		spans_grow(conn);
	conn->more_spans[conn->span_count - 1] = bytes;
	conn->span_count++;
}

void conn_spans_drop(struct conn *conn)
{
	conn->span_count = 0;
	conn->spans_order = 0;
	conn->more_spans = NULL;
}

void conn_send(struct conn *conn, struct slice bytes)
{
	if (bytes.len == 0 || (conn->state != CONN_OPEN && conn->state != CONN_CONNECTING))
		return;
	if (has_to_wait(conn)) {
		conn_backlog_append(conn, bytes);
		return;
	}
	spans_add(conn, bytes);
	if (!list_node_linked(&conn->dirty_node))
		list_append(&conn->loop->dirty, &conn->dirty_node);
}

void conn_send_copy(struct conn *conn, struct slice bytes)
{
	while (bytes.len > 0) {
		size_t len = bytes.len < LOOP_TURN_ALLOC_MAX ? bytes.len : LOOP_TURN_ALLOC_MAX;
		char *copy = loop_turn_alloc(conn->loop, len);

		memcpy(copy, bytes.ptr, len);
		conn_send(conn, slice_of(copy, len));
		bytes = slice_of(bytes.ptr + len, bytes.len - len);
	}
}

bool conn_is_congested(const struct conn *conn)
{
	return conn->is_congested;
}

/* --- the turn's end --- */

static ssize_t transmit_iov(struct conn *conn, struct span_cursor at, size_t *asked)
{
	struct iovec iov[CONN_IOV_MAX];
	struct msghdr msg = { .msg_iov = iov };
	ssize_t sent;

	*asked = 0;
	for (; at.index < conn->span_count && msg.msg_iovlen < CONN_IOV_MAX; at.index++) {
		struct slice s = span_rest(conn, at);

		iov[msg.msg_iovlen].iov_base = (void *)(uintptr_t)s.ptr;
		iov[msg.msg_iovlen++].iov_len = s.len;
		*asked += s.len;
		at.off = 0;
	}
	conn->loop->stats.writes++;
	do
		sent = sendmsg(conn->fd, &msg, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent >= 0 ? sent : conn_io_failed();
}

/* Copies from the spans until `room` is full; returns the bytes copied. */
static size_t gather(const struct conn *conn, struct span_cursor at, char *out, size_t room)
{
	size_t len = 0;

	for (; at.index < conn->span_count && len < room; at.index++, at.off = 0) {
		struct slice s = span_rest(conn, at);
		size_t part = s.len < room - len ? s.len : room - len;

		memcpy(out + len, s.ptr, part);
		len += part;
	}
	return len;
}

static size_t spans_total(const struct conn *conn)
{
	size_t total = 0;

	for (uint32_t i = 0; i < conn->span_count; i++)
		total += span_at(conn, i).len;
	return total;
}

/* One piece of the spans; *asked tells how much was tried. */
static ssize_t transmit_piece(struct conn *conn, struct span_cursor at, size_t *asked)
{
	struct slice s = span_rest(conn, at);
	char *piece;

	if (at.index + 1 < conn->span_count) {
		size_t total = spans_total(conn);

		if (!conn->tls && total > CONN_GATHER_MAX)
			return transmit_iov(conn, at, asked);
		if (total > CONN_GATHER_MAX)
			total = CONN_GATHER_MAX;
		piece = loop_turn_alloc(conn->loop, total);
		s = slice_of(piece, gather(conn, at, piece, total));
	}
	*asked = s.len;
	return conn_transmit(conn, s.ptr, s.len);
}

static void write_spans(struct conn *conn)
{
	struct span_cursor at = { 0 };

	while (at.index < conn->span_count) {
		size_t asked;
		ssize_t sent = transmit_piece(conn, at, &asked);

		if (sent < 0 && sent != CONN_IO_AGAIN) {
			conn_fail(conn, sent == CONN_IO_TLS ? WEIR_ERR_TLS : WEIR_ERR_IO);
			return;
		}
		if (sent > 0)
			cursor_advance(conn, &at, (size_t)sent);
		/* A TLS session writes record by record; a socket that took less is full. */
		if (sent < 0 || (!conn->tls && (size_t)sent < asked))
			break;
	}
	backlog_append_spans(conn, at);
}

/* Everything left: what the peer sent meanwhile is read, or closing would reset it away. */
static void flushing_done(struct conn *conn)
{
	char sink[CONN_DRAIN_BYTES];

	for (int i = 0; i < CONN_DRAIN_READS; i++) {
		if (recv(conn->fd, sink, sizeof(sink), MSG_DONTWAIT) <= 0)
			break;
	}
	conn_fail(conn, WEIR_OK);
}

static void on_linger_due(struct loop_timer *timer)
{
	struct conn_backlog *b =
		(struct conn_backlog *)(void *)((char *)timer - offsetof(struct conn_backlog, linger));

	conn_fail_now(b->conn, WEIR_ERR_TIMEOUT);
}

/* --- through the ring --- */

/* Once sealed it can't be taken back: what can't be queued now waits as what wasn't taken. */
static bool send_sealed(struct conn *conn, struct slice bytes)
{
	if (!conn_seal(conn, &bytes))
		conn_fail(conn, WEIR_ERR_TLS);
	else if (!ring_send(conn->loop->ring, conn, bytes))
		conn_sent(conn, bytes, -EAGAIN);
	return true;
}

/* False: large or unusual, so that it is written at once. */
static bool send_by_ring(struct conn *conn)
{
	struct slice s = span_at(conn, 0);
	char *piece;

	if (!conn->loop->ring || conn->state != CONN_OPEN)
		return false;
	if (conn->span_count > 1) {
		size_t total = spans_total(conn);

		if (total > CONN_GATHER_MAX)
			return false;
		piece = loop_turn_alloc(conn->loop, total);
		s = slice_of(piece, gather(conn, (struct span_cursor){ 0 }, piece, total));
	}
	if (conn->tls)
		return s.len <= CONN_GATHER_MAX && send_sealed(conn, s);
	return s.len <= LOOP_TURN_ALLOC_MAX && ring_send(conn->loop->ring, conn, s);
}

void conn_sent(struct conn *conn, struct slice bytes, int result)
{
	ssize_t sent = result;

	if (result < 0) {
		errno = result == -EINTR ? EAGAIN : -result;
		sent = conn_io_failed();
	}
	if (sent < 0 && sent != CONN_IO_AGAIN) {
		conn_fail(conn, WEIR_ERR_IO);
		return;
	}
	if (sent < 0)
		sent = 0;
	WEIR_ASSERT((size_t)sent <= bytes.len);
	conn_backlog_append(conn, slice_of(bytes.ptr + sent, bytes.len - (size_t)sent));
	if (!conn->backlog)
		return;
	if (conn->tls)
		conn_backlog_set_sealed(conn, conn_backlog_bytes(conn));
	conn_write_arm(conn);
}

void conn_sends_settle(struct conn *conn)
{
	if (conn->loop->ring && ring_is_sending(conn->loop->ring, conn->send_round))
		ring_settle(conn->loop->ring);
}

void conn_flush(struct conn *conn)
{
	bool is_silent;

	conn_sends_settle(conn); /* what it doesn't take goes in front */
	is_silent = conn->span_count == 0 && !conn->backlog;
	if (conn->span_count > 0) {
		if (has_to_wait(conn))
			backlog_append_spans(conn, (struct span_cursor){ 0 });
		else if (!send_by_ring(conn))
			write_spans(conn);
		conn_spans_drop(conn);
	}
	if (conn->state != CONN_FLUSHING)
		return;
	if (is_silent) /* no last words that a reset could take away */
		conn_fail(conn, WEIR_OK);
	else if (conn_backlog_bytes(conn) == 0)
		flushing_done(conn);
	else
		loop_timer_arm(conn->loop, &conn->backlog->linger, CONN_LINGER_US, on_linger_due);
}

void conn_push(struct conn *conn)
{
	if (!list_node_linked(&conn->dirty_node))
		return;
	list_remove(&conn->loop->dirty, &conn->dirty_node);
	conn_flush(conn);
}

/* --- the socket became writable --- */

static void connect_done(struct conn *conn)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		err = errno;
	if (err) {
		log_debug("connect_failed", "errno=%d", err);
		conn->os_error = (uint8_t)err;
		conn_fail_now(conn, WEIR_ERR_IO);
		return;
	}
	conn->state = CONN_OPEN;
	if (conn_backlog_bytes(conn) == 0)
		conn_backlog_drop(conn);
	conn_read_arm(conn);
	if (conn->ops->on_connected)
		conn->ops->on_connected(conn);
}

/* False: the connection failed. */
static bool backlog_write(struct conn *conn)
{
	struct conn_backlog *b = conn->backlog;
	ssize_t sent;

	do {
		if (b->off == b->end)
			return true;
		sent = conn_backlog_transmit(conn);
		if (sent > 0)
			b->off += (size_t)sent;
	} while (sent > 0 && conn->tls);
	if (sent > 0 || sent == CONN_IO_AGAIN)
		return true;
	conn_fail_now(conn, sent == CONN_IO_TLS ? WEIR_ERR_TLS : WEIR_ERR_IO);
	return false;
}

static void congestion_check(struct conn *conn)
{
	size_t left = conn_backlog_bytes(conn);

	if (!conn->is_congested || (left > 0 && left >= conn->limits->low_water_bytes))
		return;
	conn->is_congested = false;
	if (conn->ops->on_drained)
		conn->ops->on_drained(conn);
}

void conn_write_ready(struct conn *conn)
{
	bool had_bytes = conn_backlog_bytes(conn) > 0;

	if (conn->state == CONN_CONNECTING) {
		connect_done(conn);
		return;
	}
	if (conn->is_handshaking) {
		conn_tls_step(conn);
		return;
	}
	if (!backlog_write(conn))
		return;
	if (conn_backlog_bytes(conn) == 0) {
		conn_backlog_drop(conn);
		if (conn->state == CONN_FLUSHING)
			flushing_done(conn);
		else if (!had_bytes || conn_tls_has_pending(conn)) /* a TLS read had waited for this */
			conn_read_ready(conn);
	}
	if (conn->state == CONN_OPEN)
		congestion_check(conn);
}
