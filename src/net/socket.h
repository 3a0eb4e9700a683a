/* SPDX-License-Identifier: PostgreSQL */
/*
 * Options of stream sockets, shared by accepted and outgoing connections. A
 * zero keeps the system's default. No state, any thread.
 */
#ifndef WEIR_NET_SOCKET_H
#define WEIR_NET_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct socket_options {
	bool tcp_keepalive;
	int tcp_keepidle_s;
	int tcp_keepintvl_s;
	int tcp_keepcnt;
	int tcp_user_timeout_ms;
	int tcp_socket_buffer_bytes; /* both directions */
};

/* TCP_NODELAY always; nothing for Unix sockets. A refused option is logged and skipped. */
void socket_tune(int fd, const struct socket_options *options);

/* "127.0.0.1" and port; "unix" and 0 for Unix sockets. host is always NUL-terminated. */
void socket_name(const struct sockaddr_storage *addr, char *host, size_t host_size, uint16_t *port);

#endif
