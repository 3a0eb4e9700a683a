/* SPDX-License-Identifier: PostgreSQL */
/*
 * Listening sockets: TCP on a list of addresses or all, and one Unix socket.
 * Accepted sockets are non-blocking, close-on-exec and tuned. When the
 * process has no descriptors left, accepting rests for a moment and goes on.
 * The loop's thread only.
 */
#ifndef WEIR_NET_LISTENER_H
#define WEIR_NET_LISTENER_H

#include "base/err.h"
#include "net/loop.h"
#include "net/socket.h"

struct listener;

struct listener_options {
	const char *addresses;  /* "*" or comma-separated names and numbers; empty: no TCP */
	uint16_t port;          /* 0: any, see listener_port */
	const char *unix_dir;   /* empty: none; '@' in front: abstract name space */
	unsigned unix_mode;     /* such as 0777 */
	const char *unix_group; /* name or number; empty: unchanged */
	int backlog;
	int tcp_defer_accept_s; /* 0: off */
	bool reuse_port;
	struct socket_options socket;
};

/* fd is the receiver's from now on. */
typedef void listener_accept_fn(void *receiver, int fd, bool is_unix);

/*
 * Opens everything the options name or nothing: on failure *listener is NULL and the reason
 * is in `why`. Options are borrowed for the call.
 */
enum weir_err listener_open(struct loop *loop, const struct listener_options *options,
                            listener_accept_fn *on_accept, void *receiver,
                            struct listener **listener, char *why, size_t why_size) WEIR_MUST_CHECK;
void listener_close(struct listener *listener); /* NULL is fine; removes the Unix socket's file */

uint16_t listener_port(const struct listener *listener); /* of the first TCP socket; 0: none */

#endif
