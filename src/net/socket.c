/* SPDX-License-Identifier: PostgreSQL */
/*
 * Socket options and names. An option that the system refuses is no reason to
 * refuse a connection: it is logged at debug level and skipped.
 */
#include "net/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>

#include "base/log.h"

static void set_int(int fd, int level, int option, int value)
{
	if (setsockopt(fd, level, option, &value, sizeof(value)) < 0)
		log_debug("socket_option_refused", "level=%d option=%d errno=%d", level, option, errno);
}

static bool is_unix(int fd)
{
	int domain = AF_UNSPEC;
	socklen_t len = sizeof(domain);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX;
}

static void tune_keepalive(int fd, const struct socket_options *o)
{
	if (!o->tcp_keepalive)
		return;
	set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	if (o->tcp_keepidle_s > 0)
		set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, o->tcp_keepidle_s);
	if (o->tcp_keepintvl_s > 0)
		set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, o->tcp_keepintvl_s);
	if (o->tcp_keepcnt > 0)
		set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, o->tcp_keepcnt);
}

void socket_tune(int fd, const struct socket_options *options)
{
	if (is_unix(fd))
		return;
	set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (!options)
		return;
	tune_keepalive(fd, options);
	if (options->tcp_user_timeout_ms > 0)
		set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, options->tcp_user_timeout_ms);
	if (options->tcp_socket_buffer_bytes > 0) {
		set_int(fd, SOL_SOCKET, SO_SNDBUF, options->tcp_socket_buffer_bytes);
		set_int(fd, SOL_SOCKET, SO_RCVBUF, options->tcp_socket_buffer_bytes);
	}
}

void socket_name(const struct sockaddr_storage *addr, char *host, size_t host_size, uint16_t *port)
{
	const void *number = NULL;

	*port = 0;
	if (addr->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)addr;

		number = &in->sin_addr;
		*port = ntohs(in->sin_port);
	} else if (addr->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)addr;

		number = &in6->sin6_addr;
		*port = ntohs(in6->sin6_port);
	}
	if (!number || !inet_ntop(addr->ss_family, number, host, (socklen_t)host_size))
		snprintf(host, host_size, "%s", addr->ss_family == AF_UNIX ? "unix" : "unknown");
}
