/* SPDX-License-Identifier: PostgreSQL */
/*
 * The layout of struct conn, so that owners can embed it. Nobody outside net/
 * reads or writes a field. An idle plain connection is this struct and nothing
 * else: buffers, the write event and the TLS session exist only while needed.
 */
#ifndef WEIR_NET_CONN_LAYOUT_H
#define WEIR_NET_CONN_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/slice.h"
#include "net/watch.h"

struct conn_kept;    /* bytes read but not consumed; conn_read.c */
struct conn_backlog; /* bytes the socket didn't take, and the write event; conn_write.c */

struct conn {
	unsigned magic;
	int fd;                 /* owned; -1: not open */
	uint8_t state;          /* enum conn_state */
	uint8_t wakes;          /* bits of enum conn_wake: what the turn's end has to do */
	int8_t error;           /* enum weir_err to report at the turn's end */
	uint8_t os_error;       /* errno of WEIR_ERR_IO; 0: none yet */
	bool is_paused : 1;     /* by the owner */
	bool is_read_armed : 1; /* bytes are wanted: the watch is started */
	bool is_eof : 1;        /* the peer sends no more; told when the kept bytes are consumed */
	bool is_delivering : 1; /* inside on_bytes */
	bool is_congested : 1;
	bool is_handshaking : 1;
	bool expects_tls : 1; /* nothing has been read */
	uint8_t spans_order;  /* more_spans has room for CONN_FIRST_SPANS << (this - 1); 0: none */
	uint32_t send_round; /* the ring's submission that sends for us; 0: none yet */
	uint32_t span_count;
	struct loop *loop;   /* borrowed: the owner's thread's */
	const struct conn_ops *ops;
	const struct conn_limits *limits;
	struct conn_kept *kept;       /* owned; NULL: nothing kept */
	struct conn_backlog *backlog; /* owned; NULL: nothing waits for the socket */
	struct tls_session *tls;      /* owned; NULL: plain */
	struct slice first_span;      /* queued in this turn */
	struct slice *more_spans;     /* turn memory */
	struct list_node dirty_node;  /* in the loop's list of connections to write */
	struct list_node wake_node;   /* in the loop's list of connections to look at */
	struct watch read_watch;
};

#endif
