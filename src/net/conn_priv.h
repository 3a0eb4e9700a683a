/* SPDX-License-Identifier: PostgreSQL */
/*
 * What conn.c, conn_read.c, conn_write.c, conn_tls.c and the loop share about
 * connections. For net/ alone.
 */
#ifndef WEIR_NET_CONN_PRIV_H
#define WEIR_NET_CONN_PRIV_H

#include <sys/types.h>

#include "net/conn.h"
#include "net/loop_priv.h"
#include "net/watch.h"

enum { CONN_MAGIC = 0x636f6e6e };

/*
 *   CLOSED -> CONNECTING -> OPEN -> FLUSHING -> DEAD -> CLOSED
 * DEAD: the end is known; on_closed follows, or came already. Any state may
 * go to DEAD by an error and to CLOSED by conn_close.
 */
enum conn_state {
	CONN_CLOSED,
	CONN_CONNECTING,
	CONN_OPEN,
	CONN_FLUSHING,
	CONN_DEAD,
};

/* What the turn's end has to do with a connection of loop->wakes. */
enum conn_wake {
	CONN_WAKE_REPORT = 1 << 0,    /* call on_closed */
	CONN_WAKE_REDELIVER = 1 << 1, /* give kept bytes to on_bytes */
	CONN_WAKE_READ = 1 << 2,      /* read in the next turn without waiting for the socket */
};

/* Results below 0 of conn_receive and conn_transmit. */
enum conn_io {
	CONN_IO_AGAIN = -1,
	CONN_IO_CLOSED = -2,
	CONN_IO_ERROR = -3,
	CONN_IO_TLS = -4,
};

/* Heap memory of bytes read and not consumed: data[off..end). */
struct conn_kept {
	struct loop_retired retired; /* first: spans may point into data */
	size_t off;
	size_t end;
	size_t cap;
	char data[];
};

/* What waits for the socket to become writable: data[off..end), or only the watch. */
struct conn_backlog {
	struct watch watch;
	struct loop_timer linger; /* of conn_close_after_flush */
	struct conn *conn;        /* borrowed: owns us */
	bool is_armed;
	size_t off;
	size_t end;
	size_t cap;
	size_t sealed; /* of them, in front: records of TLS, sent as they are */
	char *data;    /* owned */
};

/* conn.c */
void conn_wake(struct conn *conn, enum conn_wake wake);
void conn_wake_run(struct conn *conn);                    /* taken from loop->wakes by the loop */
void conn_fail(struct conn *conn, enum weir_err why);     /* DEAD; on_closed at the turn's end */
void conn_fail_now(struct conn *conn, enum weir_err why); /* from the loop: on_closed now */

/* conn_read.c */
void conn_read_init(struct conn *conn); /* a new socket */
void conn_read_arm(struct conn *conn);
void conn_read_disarm(struct conn *conn);
void conn_read_ready(struct conn *conn); /* readable, or thought to be */
void conn_kept_drop(struct conn *conn);
/* From the ring: how much may be received; 0: nothing now; -1: only readiness is to be told. */
ssize_t conn_read_asks(struct conn *conn);
/* A receive of the ring: bytes in one of its buffers, or a result of 0 or a negated errno. */
void conn_read_done(struct conn *conn, int result, const char *bytes);
/* False: bytes are on their way to us already, so the socket isn't where the stream goes on. */
bool conn_read_recall(struct conn *conn);

/* conn_write.c */
void conn_flush(struct conn *conn); /* taken from loop->dirty by the loop */
/* From the ring: of a queued send not all was taken; result as conn_read_done's. */
void conn_sent(struct conn *conn, struct slice bytes, int result);
void conn_sends_settle(struct conn *conn); /* what the ring has queued of ours is sent now */
void conn_spans_drop(struct conn *conn);
void conn_write_ready(struct conn *conn);

/* conn_backlog.c */
bool conn_backlog_need(struct conn *conn); /* false: no memory */
/* Without memory the connection fails. */
void conn_backlog_append(struct conn *conn, struct slice bytes);
/* So many in front are records of TLS. */
void conn_backlog_set_sealed(struct conn *conn, size_t bytes);
ssize_t conn_backlog_transmit(struct conn *conn); /* as conn_transmit, of what it holds */
void conn_backlog_drop(struct conn *conn);
void conn_write_arm(struct conn *conn); /* call only with a backlog */
void conn_write_disarm(struct conn *conn);

/* conn_tls.c */
void conn_tls_step(struct conn *conn);  /* the handshake, from the loop */
size_t conn_tls_first(struct conn *conn, struct slice bytes); /* expects_tls: as on_bytes */
ssize_t conn_receive(struct conn *conn, void *at, size_t room);
ssize_t conn_transmit(struct conn *conn, const void *bytes, size_t len);
/* As conn_receive, of records that a ring received: what was looked at is taken away from them. */
ssize_t conn_open_records(struct conn *conn, struct slice *records, void *at, size_t room);
/* Puts the records that carry *bytes in their place, in turn memory; false: the session is over. */
bool conn_seal(struct conn *conn, struct slice *bytes);
ssize_t conn_transmit_sealed(struct conn *conn, const void *bytes, size_t len);
ssize_t conn_io_failed(void); /* after a system call that failed */
bool conn_tls_has_pending(const struct conn *conn);

#endif
