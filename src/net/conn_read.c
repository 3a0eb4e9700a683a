/* SPDX-License-Identifier: PostgreSQL */
/*
 * Reading: from the socket into turn memory and on to the owner.
 *
 * A connection that keeps nothing, or little, reads into the loop's scratch,
 * with the little it keeps copied in front, so that the owner always sees one
 * slice; a connection that keeps much reads behind it in its own buffer. What
 * the owner consumed may still be pointed at by spans, so buffers are retired
 * to the turn's end, never freed or moved in place.
 *
 * Pausing costs nothing: the event stays armed, and bytes that come meanwhile
 * are kept up to CONN_PAUSED_KEPT. Only then the event is removed. So a peer
 * that hangs up while paused is noticed, unless it left much unread. An end of
 * stream behind unread bytes is told after the owner was given those; an error
 * (reset) at once.
 */
#include <errno.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/conn_priv.h"
#include "net/ring.h"

enum {
	CONN_READS_PER_EVENT = 4,     /* while each read fills its room */
	CONN_PAUSED_KEPT = 16 * 1024, /* bytes read ahead for a paused owner */
	CONN_KEPT_ROUND = 256,
};

static void on_read_event(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	conn_read_ready(arg);
}

void conn_read_init(struct conn *conn)
{
	watch_init(&conn->read_watch, conn->loop,
	           (struct watch_spec){ conn->fd, WATCH_CONN, on_read_event, conn });
}

void conn_read_arm(struct conn *conn)
{
	if (conn->is_read_armed)
		return;
	watch_start(&conn->read_watch, conn->loop);
	conn->is_read_armed = true;
}

void conn_read_disarm(struct conn *conn)
{
	if (!conn->is_read_armed)
		return;
	watch_stop(&conn->read_watch, conn->loop);
	conn->is_read_armed = false;
}

/* --- kept bytes --- */

size_t conn_kept_bytes(const struct conn *conn)
{
	return conn->kept ? conn->kept->end - conn->kept->off : 0;
}

static struct slice kept_slice(const struct conn *conn)
{
	return slice_of(conn->kept->data + conn->kept->off, conn_kept_bytes(conn));
}

void conn_kept_drop(struct conn *conn)
{
	if (conn->kept)
		loop_retire(conn->loop, &conn->kept->retired);
	conn->kept = NULL;
}

/* A buffer that holds what is kept and has room for `more`; the old one is retired. */
static bool kept_move(struct conn *conn, size_t more)
{
	size_t len = conn_kept_bytes(conn);
	size_t cap = conn->kept && len + more > LOOP_KEPT_SMALL ? len * 2 : 0;
	struct conn_kept *grown;

	if (cap < len + more)
		cap = (len + more + CONN_KEPT_ROUND - 1) / CONN_KEPT_ROUND * CONN_KEPT_ROUND;
	grown = mem_try_alloc(sizeof(*grown) + cap);
	if (!grown)
		return false;
	grown->off = 0;
	grown->end = len;
	grown->cap = cap;
	if (len)
		memcpy(grown->data, kept_slice(conn).ptr, len);
	conn_kept_drop(conn);
	conn->kept = grown;
	return true;
}

/* Where `more` bytes may be written behind the kept ones; NULL: no memory. */
static char *kept_reserve(struct conn *conn, size_t more)
{
	struct conn_kept *kept = conn->kept;

	if ((!kept || kept->cap - kept->end < more) && !kept_move(conn, more))
		return NULL;
	return conn->kept->data + conn->kept->end;
}

static bool kept_append(struct conn *conn, struct slice bytes)
{
	char *at = kept_reserve(conn, bytes.len);

	if (!at)
		return false;
	memcpy(at, bytes.ptr, bytes.len);
	conn->kept->end += bytes.len;
	return true;
}

static void kept_consume(struct conn *conn, size_t len)
{
	conn->kept->off += len;
	if (conn->kept->off == conn->kept->end)
		conn_kept_drop(conn);
}

/* --- delivering --- */

/* False: the connection was closed, moved or failed inside; it must not be touched. */
static bool deliver(struct conn *conn, struct slice bytes, size_t *consumed)
{
	conn->is_delivering = true;
	*consumed = conn->expects_tls ? conn_tls_first(conn, bytes) : conn->ops->on_bytes(conn, bytes);
	if (!conn->is_delivering)
		return false;
	conn->is_delivering = false;
	if (conn->state != CONN_OPEN)
		return false;
	WEIR_ASSERT(*consumed <= bytes.len);
	if (conn->is_handshaking && *consumed < bytes.len) {
		log_info("tls_plaintext_injected", "bytes=%zu", bytes.len - *consumed);
		conn_fail_now(conn, WEIR_ERR_PROTOCOL);
		return false;
	}
	return true;
}

/* bytes lie at the end of what was taken of scratch; the first `old` are kept ones. */
static bool deliver_scratch(struct conn *conn, struct slice bytes, size_t old)
{
	size_t consumed;
	struct slice rest;
	bool is_kept = true;

	if (!deliver(conn, bytes, &consumed))
		return false;
	rest = slice_of(bytes.ptr + consumed, bytes.len - consumed);
	if (consumed == 0 && rest.len > old) {
		is_kept = kept_append(conn, slice_of(rest.ptr + old, rest.len - old));
	} else if (consumed > 0) {
		conn_kept_drop(conn);
		is_kept = rest.len == 0 || kept_append(conn, rest);
	}
	loop_scratch_give_back(conn->loop, rest.ptr + rest.len, rest.len);
	if (!is_kept)
		conn_fail_now(conn, WEIR_ERR_MEMORY);
	return is_kept;
}

static bool deliver_kept(struct conn *conn)
{
	size_t consumed;

	if (!deliver(conn, kept_slice(conn), &consumed))
		return false;
	kept_consume(conn, consumed);
	return true;
}

/* --- reading --- */

/* How much may be read now; 0: the owner must consume or resume first. */
static size_t read_room(const struct conn *conn)
{
	size_t kept = conn_kept_bytes(conn), max = conn->limits->max_kept_bytes;

	if (conn->state != CONN_OPEN || conn->is_eof)
		return 0;
	if (conn->is_paused && max > CONN_PAUSED_KEPT)
		max = CONN_PAUSED_KEPT;
	if (kept >= max)
		return 0;
	return max - kept < conn->loop->options.read_bytes ? max - kept
	                                                   : conn->loop->options.read_bytes;
}

static bool read_ended(struct conn *conn, ssize_t why)
{
	if (why == CONN_IO_AGAIN)
		return false;
	if (why == CONN_IO_CLOSED && conn->is_paused && conn->kept) {
		conn->is_eof = true;
		conn_read_disarm(conn);
		return false;
	}
	conn_fail_now(conn, why == CONN_IO_CLOSED ? WEIR_ERR_CLOSED
	                    : why == CONN_IO_TLS  ? WEIR_ERR_TLS
	                                          : WEIR_ERR_IO);
	return false;
}

/* Into the connection's own buffer, behind what it keeps. */
static bool read_into_kept(struct conn *conn, size_t room)
{
	char *at = kept_reserve(conn, room);
	ssize_t got;

	if (!at) {
		conn_fail_now(conn, WEIR_ERR_MEMORY);
		return false;
	}
	got = conn_receive(conn, at, room);
	if (got < 0)
		return read_ended(conn, got);
	conn->kept->end += (size_t)got;
	if (!conn->is_paused && !deliver_kept(conn))
		return false;
	return (size_t)got == room || conn_tls_has_pending(conn);
}

/* Into scratch, the few kept bytes in front. */
static bool read_into_scratch(struct conn *conn, size_t room)
{
	size_t old = conn_kept_bytes(conn);
	char *at = loop_scratch(conn->loop, old + room);
	ssize_t got = conn_receive(conn, at + old, room);

	if (got < 0)
		return read_ended(conn, got);
	if (conn->is_paused) {
		if (!kept_append(conn, slice_of(at + old, (size_t)got)))
			conn_fail_now(conn, WEIR_ERR_MEMORY);
		return false;
	}
	if (old)
		memcpy(at, kept_slice(conn).ptr, old);
	loop_scratch_take(conn->loop, old + (size_t)got);
	if (!deliver_scratch(conn, slice_of(at, old + (size_t)got), old))
		return false;
	return (size_t)got == room || conn_tls_has_pending(conn);
}

/* True: there may be more, so that another read isn't wasted. */
static bool read_once(struct conn *conn)
{
	size_t room = read_room(conn);

	if (room == 0) {
		conn_read_disarm(conn);
		return false;
	}
	if (conn_kept_bytes(conn) > LOOP_KEPT_SMALL)
		return read_into_kept(conn, room);
	return read_into_scratch(conn, room);
}

void conn_read_ready(struct conn *conn)
{
	conn->wakes &= (uint8_t)~CONN_WAKE_READ;
	if (conn->loop->ring && ring_is_receiving(conn->loop->ring, &conn->read_watch.wait))
		return; /* the stream goes on there */
	if (conn->is_handshaking) {
		conn_tls_step(conn);
		return;
	}
	if (conn->loop->turn_read_bytes > LOOP_TURN_READ_MAX) {
		if (conn_tls_has_pending(conn))
			conn_wake(conn, CONN_WAKE_READ);
		return;
	}
	for (int i = 0; i < CONN_READS_PER_EVENT; i++) {
		if (!read_once(conn) || conn->is_handshaking)
			return;
	}
	if (conn_tls_has_pending(conn))
		conn_wake(conn, CONN_WAKE_READ);
}

void conn_read_now(struct conn *conn)
{
	if (conn->state == CONN_OPEN)
		conn_read_ready(conn);
}

/* --- received by the ring --- */

ssize_t conn_read_asks(struct conn *conn)
{
	size_t room;

	/* What the session holds is read without the ring. */
	if (conn->is_handshaking || conn_tls_has_pending(conn))
		return -1;
	room = read_room(conn);
	if (room == 0)
		conn_read_disarm(conn);
	return (ssize_t)room;
}

/* The bytes live to the turn's end, so they are delivered where they lie. */
static bool deliver_lent(struct conn *conn, struct slice bytes)
{
	size_t consumed;

	if (!deliver(conn, bytes, &consumed))
		return false;
	if (consumed == bytes.len ||
	    kept_append(conn, slice_of(bytes.ptr + consumed, bytes.len - consumed)))
		return true;
	conn_fail_now(conn, WEIR_ERR_MEMORY);
	return false;
}

/* True: more may be read at once. */
static bool take_received(struct conn *conn, struct slice bytes)
{
	size_t old = conn_kept_bytes(conn);
	char *at;

	conn->loop->turn_read_bytes += bytes.len;
	if (conn->is_paused || old > LOOP_KEPT_SMALL) {
		if (!kept_append(conn, bytes)) {
			conn_fail_now(conn, WEIR_ERR_MEMORY);
			return false;
		}
		return !conn->is_paused && deliver_kept(conn);
	}
	if (old == 0)
		return deliver_lent(conn, bytes);
	at = loop_scratch(conn->loop, old + bytes.len);
	memcpy(at, kept_slice(conn).ptr, old);
	memcpy(at + old, bytes.ptr, bytes.len);
	loop_scratch_take(conn->loop, old + bytes.len);
	return deliver_scratch(conn, slice_of(at, old + bytes.len), old);
}

/*
 * All of the records are opened, paused or not, since their buffer goes with the turn: more than
 * max_kept_bytes may be kept by what one receive brings, and a record that it completes.
 */
static bool take_records(struct conn *conn, struct slice records)
{
	size_t room = records.len + LOOP_RECORD_MAX, len = 0;
	char *at = loop_scratch(conn->loop, room);
	bool may_be_more = true;
	ssize_t got;

	do {
		WEIR_ASSERT(len < room); /* a record is longer than what it carries */
		got = conn_open_records(conn, &records, at + len, room - len);
		len += got > 0 ? (size_t)got : 0;
	} while (got > 0 && (records.len > 0 || conn_tls_has_pending(conn)));
	loop_scratch_take(conn->loop, len);
	if (len > 0)
		may_be_more = take_received(conn, slice_of(at, len));
	if (got >= 0 || got == CONN_IO_AGAIN)
		return may_be_more;
	return conn->state == CONN_OPEN && read_ended(conn, got);
}

void conn_read_done(struct conn *conn, int result, const char *bytes)
{
	bool may_be_more;

	if (result <= 0) {
		/* Nothing was there after all: asked for again. */
		if (result == -EAGAIN || result == -EINTR || result == -ECANCELED)
			return;
		if (result == -ENOBUFS) { /* as without a ring, so that nobody waits for buffers */
			conn_read_ready(conn);
			return;
		}
		errno = -result;
		read_ended(conn, result == 0 ? CONN_IO_CLOSED : conn_io_failed());
		return;
	}
	may_be_more = conn->tls ? take_records(conn, slice_of(bytes, (size_t)result))
	                        : take_received(conn, slice_of(bytes, (size_t)result));
	/* A full buffer: there is probably more, and one large read is cheaper than many small ones. */
	if (may_be_more && (size_t)result == conn->loop->options.ring_buffer_bytes)
		conn_read_ready(conn);
}

bool conn_read_recall(struct conn *conn)
{
	return !conn->loop->ring || ring_recall(conn->loop->ring, &conn->read_watch.wait);
}

/* --- the owner's verbs --- */

void conn_pause_read(struct conn *conn)
{
	conn->is_paused = true;
}

/* After bytes were consumed or the pause ended: go on reading what may be read. */
static void read_go_on(struct conn *conn)
{
	if (conn->is_eof && !(conn->is_paused && conn->kept)) {
		conn_fail(conn, WEIR_ERR_CLOSED);
		return;
	}
	if (read_room(conn) == 0)
		return;
	conn_read_arm(conn);
	if (conn_tls_has_pending(conn))
		conn_wake(conn, CONN_WAKE_READ);
}

void conn_resume_read(struct conn *conn)
{
	if (!conn->is_paused)
		return;
	conn->is_paused = false;
	if (conn->state != CONN_OPEN)
		return;
	if (conn->kept || conn->is_delivering)
		conn_wake(conn, CONN_WAKE_REDELIVER);
	else
		read_go_on(conn);
}

void conn_redeliver(struct conn *conn)
{
	WEIR_ASSERT(!conn->is_delivering);
	if (conn->state != CONN_OPEN)
		return;
	if (!conn->kept || deliver_kept(conn))
		read_go_on(conn);
}
