/* SPDX-License-Identifier: PostgreSQL */
/*
 * A connection under test that writes down what happens to it, and the raw
 * other end of its socket pair. Events become one text, such as
 * "bytes(hello) closed(CLOSED)", which tests compare.
 */
#ifndef TEST_UNIT_NET_PEER_H
#define TEST_UNIT_NET_PEER_H

#include "net/conn.h"
#include "net/loop.h"

enum { PEER_TRACE_MAX = 4096 };

struct peer {
	struct conn conn;
	struct loop *loop;
	int raw; /* the other end; -1 when closed */
	char trace[PEER_TRACE_MAX];
	size_t consume;                                          /* of each delivery; SIZE_MAX: all */
	size_t total;                                            /* bytes consumed */
	bool is_quiet;                                           /* bytes are counted only */
	void (*on_bytes)(struct peer *peer, struct slice bytes); /* called first, if set */
	void (*on_closed)(struct peer *peer);
	void (*on_ready)(struct peer *peer);
	void *arg;
	struct tls_context *hello_ctx; /* borrowed: answers a handshake that comes unasked */
};

extern const struct conn_ops peer_ops;
extern const struct conn_limits peer_limits;

/* The tests are built twice: test_net on libevent, test_net_ring on io_uring. */
#ifndef NET_TEST_BACKEND
#define NET_TEST_BACKEND LOOP_EPOLL
#endif
#define PEER_IS_RING (NET_TEST_BACKEND == LOOP_RING)

struct loop *peer_loop(void);
struct loop *peer_loop_of(const struct loop_options *options); /* no ring here: skips the test */
void peer_open(struct peer *peer, struct loop *loop);         /* a socket pair, plain */
void peer_wrap(struct peer *peer, struct loop *loop, int fd); /* no other end of its own */
void peer_close(struct peer *peer);
void peer_say(struct peer *peer, const char *text);          /* the raw end writes */
size_t peer_hear(struct peer *peer, char *out, size_t size); /* what the raw end can read now */
void peer_hang_up(struct peer *peer);
void peer_turns(struct loop *loop, unsigned count);
/* Turns until the trace contains `text`; a bounded number of them. */
bool peer_wait(struct peer *peer, const char *text);

#endif
