/* SPDX-License-Identifier: PostgreSQL */
/*
 * A connection: a TCP or Unix socket, plain or TLS, embedded in its owner
 * (client, server, ...). Completion-shaped: nobody above calls recv or send.
 *
 * Reading: whatever arrives is given to on_bytes as one contiguous slice in
 * turn memory, kept bytes first. on_bytes returns how many it consumed; the
 * rest is kept (copied into the connection's own buffer, bounded by
 * max_kept_bytes) and given again with the next bytes or by conn_redeliver.
 *
 * Writing: conn_send queues a span of turn memory (or static memory); spans
 * of one turn leave in one system call at the end of the turn. What the socket
 * doesn't take is copied to the backlog; above the high-water mark
 * conn_is_congested is true, below the low-water mark on_drained is called.
 * The caller must pause whoever feeds a congested connection.
 *
 * Owner's loop thread only. on_closed is called at most once, from the loop,
 * never from inside another conn_* call; after it, or at any time by itself,
 * the owner calls conn_close. After conn_close no callback comes; the memory
 * of the connection must stay until the end of the turn (loop_defer).
 */
#ifndef WEIR_NET_CONN_H
#define WEIR_NET_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/list.h"
#include "base/slice.h"
#include "net/loop.h"

struct conn;
struct tls_context;
struct tls_session;

struct conn_ops {
	size_t (*on_bytes)(struct conn *conn, struct slice bytes);
	void (*on_drained)(struct conn *conn);                   /* may be NULL */
	void (*on_connected)(struct conn *conn);                 /* conn_connect done; may be NULL */
	void (*on_tls_ready)(struct conn *conn);                 /* handshake done; may be NULL */
	void (*on_tls_hello)(struct conn *conn);                 /* see conn_expect_tls; may be NULL */
	void (*on_closed)(struct conn *conn, enum weir_err why); /* EOF, error, handshake failure */
};

struct conn_limits {
	size_t max_kept_bytes;   /* reading stops while this much is kept */
	size_t high_water_bytes; /* backlog above: congested */
	size_t low_water_bytes;  /* backlog below: drained */
};

/* Layout is private to net/; sized here so that owners can embed it. See conn.c. */
#include "net/conn_layout.h"

/* fd is connected and non-blocking; consumed. limits: borrowed, outlives the connection. */
void conn_open(struct conn *conn, struct loop *loop, int fd, const struct conn_ops *ops,
               const struct conn_limits *limits);
/* Starts a non-blocking connect to a resolved address; on_connected or on_closed follows. */
enum weir_err conn_connect(struct conn *conn, struct loop *loop, const struct sockaddr *addr,
                           socklen_t addr_len, const struct conn_ops *ops,
                           const struct conn_limits *limits) WEIR_MUST_CHECK;
void conn_close(struct conn *conn); /* drops what is unsent */
/*
 * Closes it but for the socket, which the caller has now, for a conn_open: the peer reads what has
 * left and then the end, and what it says until its own end comes as raw bytes, sealed ones by TLS.
 */
int conn_leave(struct conn *conn) WEIR_MUST_CHECK;
/*
 * Reads no more and sends what is queued, bounded by a timer of 5 s. Then on_closed follows from
 * the loop (WEIR_OK: all left), in which the owner calls conn_close as ever.
 */
void conn_close_after_flush(struct conn *conn);
bool conn_is_open(const struct conn *conn);
/* Nothing kept, queued, on its way or waiting, not inside on_bytes: conn_export is allowed. */
bool conn_is_idle(struct conn *conn);

/* Turn or static memory; a copy is taken only if the socket is full. */
void conn_send(struct conn *conn, struct slice bytes);
void conn_send_copy(struct conn *conn, struct slice bytes); /* any memory */
/* What is queued leaves now, as far as the socket takes it, and not at the end of the turn. */
void conn_push(struct conn *conn);
bool conn_is_congested(const struct conn *conn);
size_t conn_backlog_bytes(const struct conn *conn);

/*
 * Reads what is probably there already instead of waiting to hear that it is. From the loop's calls
 * only, as conn_redeliver.
 */
void conn_read_now(struct conn *conn);
void conn_pause_read(struct conn *conn);  /* counted: no; idempotent */
void conn_resume_read(struct conn *conn); /* bytes kept meanwhile are redelivered this turn */
/*
 * Gives kept bytes to on_bytes again, now, if there are any, paused or not. Not from inside
 * on_bytes of the same connection: conn_resume_read may be called there.
 */
void conn_redeliver(struct conn *conn);
size_t conn_kept_bytes(const struct conn *conn);

/*
 * TLS. No byte kept from before may remain: WEIR_ERR_PROTOCOL otherwise (threats.md:
 * plaintext injected together with the TLS request). The certificates' names are
 * verified by the context's mode; host is for SNI and verify-full, NULL on the server side.
 */
enum weir_err conn_start_tls(struct conn *conn, struct tls_context *ctx,
                             const char *host) WEIR_MUST_CHECK;
const struct tls_session *conn_tls(const struct conn *conn); /* NULL: plain, or not ready */
/* The handshake failed since the peer's certificate isn't to be trusted; until conn_close. */
bool conn_tls_is_refused(const struct conn *conn);
/*
 * The peer may begin with a TLS handshake, unasked. If the first byte is a handshake record's,
 * on_tls_hello is called instead of on_bytes, and starts TLS, which is given what was read, or
 * closes. At once after conn_open.
 */
void conn_expect_tls(struct conn *conn);

/*
 * Moves an idle connection between loops: exporting asserts that nothing is
 * kept or queued. The moved state is plain memory that another thread adopts.
 */
struct conn_moved {
	int fd;
	struct tls_session *tls; /* owned; NULL: plain */
};
struct conn_moved conn_export(struct conn *conn);
void conn_adopt(struct conn *conn, struct loop *loop, struct conn_moved moved,
                const struct conn_ops *ops, const struct conn_limits *limits);

int conn_fd(const struct conn *conn);
/* Why on_closed was called: the system's text where connecting failed, else `why`'s. Static. */
const char *conn_error_text(const struct conn *conn, enum weir_err why);
bool conn_peer_address(const struct conn *conn, struct sockaddr_storage *addr); /* false: gone */
/* Text such as "127.0.0.1" and port; "unix" and 0 for Unix sockets. */
void conn_peer_name(const struct conn *conn, char *host, size_t host_size, uint16_t *port);
void conn_local_name(const struct conn *conn, char *host, size_t host_size, uint16_t *port);
uint32_t conn_peer_pid(const struct conn *conn); /* of the process behind a Unix socket; else 0 */

#endif
