/* SPDX-License-Identifier: PostgreSQL */
/*
 * Listening sockets. Each readiness accepts a bounded number of connections,
 * so that a flood can't starve the loop: one, and twice as many as in the turn
 * before, if that one accepted all that it might. So clients that come one by
 * one cost one call each, without a second one that finds nobody. Out of descriptors or memory: all
 * sockets rest for a moment, since level-triggered readiness would spin.
 *
 * Linux gives an accepted socket the options of the listening one, so they are
 * set there, once.
 *
 * The file of a Unix socket is removed at the end only if it is still ours; a
 * newer process may have put its own in the place.
 */
#include "net/listener.h"

#include <errno.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/watch.h"

enum {
	LISTENER_SOCKETS_MAX = 32,
	LISTENER_ACCEPTS_PER_EVENT = 64,
	LISTENER_REST_US = 100000,
	LISTENER_HOST_MAX = 256,
	LISTENER_PORT_MAX = 8,
	LISTENER_GROUP_BUF = 4096,
};

struct listener_socket {
	struct listener *listener; /* borrowed: contains us */
	struct watch watch;
	int fd; /* owned */
	bool is_unix;
	unsigned accepts;   /* at most, when it was ready last */
	uint64_t last_turn; /* of the loop, when all of them were there */
};

struct listener {
	struct loop *loop; /* borrowed */
	listener_accept_fn *on_accept;
	void *receiver; /* borrowed */
	struct loop_timer rest;
	unsigned count;
	struct listener_socket sockets[LISTENER_SOCKETS_MAX];
	struct sockaddr_un unix_addr; /* sun_path empty: no file to remove */
	dev_t unix_dev;
	ino_t unix_ino;
};

/* Where a failure is explained. */
struct reason {
	char *why;
	size_t size;
};

static enum weir_err fail(struct reason r, const char *what, const char *where)
{
	int err = errno;
	char text[128];

	snprintf(r.why, r.size, "%s %s: %s", what, where,
	         err ? strerror_r(err, text, sizeof(text)) : "not valid");
	return WEIR_ERR_IO;
}

/* --- accepting --- */

static void events_add(struct listener *l)
{
	for (unsigned i = 0; i < l->count; i++)
		watch_start(&l->sockets[i].watch, l->loop);
}

static void events_del(struct listener *l)
{
	for (unsigned i = 0; i < l->count; i++)
		watch_stop(&l->sockets[i].watch, l->loop);
}

static void on_rested(struct loop_timer *timer)
{
	struct listener *l =
		(struct listener *)(void *)((char *)timer - offsetof(struct listener, rest));

	events_add(l);
}

static void rest(struct listener *l, int err)
{
	log_warn("accept_rests", "errno=%d", err);
	events_del(l);
	loop_timer_arm(l->loop, &l->rest, LISTENER_REST_US, on_rested);
}

static bool is_shortage(int err)
{
	return err == EMFILE || err == ENFILE || err == ENOBUFS || err == ENOMEM;
}

static void budget(struct listener_socket *s, uint64_t turn)
{
	bool is_burst = s->accepts > 0 && turn - s->last_turn == 1;

	if (!is_burst)
		s->accepts = 1;
	else if (s->accepts < LISTENER_ACCEPTS_PER_EVENT)
		s->accepts *= 2;
}

static void on_accept_event(int fd, short what, void *arg)
{
	struct listener_socket *s = arg;
	struct listener *l = s->listener;
	uint64_t turn = loop_stats(l->loop)->turns;

	(void)what;
	budget(s, turn);
	for (unsigned i = 0; i < s->accepts; i++) {
		int accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (accepted < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (accepted < 0 && is_shortage(errno)) {
			rest(l, errno);
			return;
		}
		if (accepted < 0)
			continue; /* that one is gone: ECONNABORTED and the like */
		l->on_accept(l->receiver, accepted, s->is_unix);
	}
	s->last_turn = turn;
}

/* --- opening --- */

static enum weir_err socket_add(struct listener *l, int fd, bool is_unix, int backlog)
{
	struct listener_socket *s = &l->sockets[l->count];

	if (listen(fd, backlog) < 0)
		return WEIR_ERR_IO;
	*s = (struct listener_socket){ .listener = l, .fd = fd, .is_unix = is_unix };
	watch_init(&s->watch, l->loop, (struct watch_spec){ fd, WATCH_READ, on_accept_event, s });
	l->count++;
	return WEIR_OK;
}

static bool set_flag(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) == 0;
}

static bool prepare_tcp(int fd, int family, const struct listener_options *o)
{
	if (!set_flag(fd, SOL_SOCKET, SO_REUSEADDR, 1))
		return false;
	if (o->reuse_port && !set_flag(fd, SOL_SOCKET, SO_REUSEPORT, 1))
		return false;
	if (family == AF_INET6 && !set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1))
		return false;
	return o->tcp_defer_accept_s <= 0 ||
	       set_flag(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, o->tcp_defer_accept_s);
}

/* Two names of a list may stand for one address. */
static bool is_open_already(const struct listener *l, const struct addrinfo *ai)
{
	for (unsigned i = 0; i < l->count; i++) {
		struct sockaddr_storage addr = { 0 };
		socklen_t len = sizeof(addr);

		if (getsockname(l->sockets[i].fd, (struct sockaddr *)&addr, &len) == 0 &&
		    len == ai->ai_addrlen && memcmp(&addr, ai->ai_addr, len) == 0)
			return true;
	}
	return false;
}

static enum weir_err open_addr(struct listener *l, const struct addrinfo *ai,
                               const struct listener_options *o)
{
	int fd, err;

	if (is_open_already(l, ai))
		return WEIR_OK;
	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return WEIR_ERR_UNSUPPORTED;
	socket_tune(fd, &o->socket);
	if (l->count < LISTENER_SOCKETS_MAX && prepare_tcp(fd, ai->ai_family, o) &&
	    bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 &&
	    socket_add(l, fd, false, o->backlog) == WEIR_OK)
		return WEIR_OK;
	err = errno;
	close(fd);
	errno = err;
	/* A system without IPv6 still has the wildcard in its answer. */
	return err == EADDRNOTAVAIL && ai->ai_family == AF_INET6 ? WEIR_ERR_UNSUPPORTED : WEIR_ERR_IO;
}

/* One name, number or "*": every address it stands for; at least one must open. */
static enum weir_err open_name(struct listener *l, const char *name,
                               const struct listener_options *o, struct reason r)
{
	struct addrinfo hints = { .ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM };
	struct addrinfo *all = NULL;
	bool is_any_open = false;
	char port[LISTENER_PORT_MAX], where[LISTENER_PORT_MAX + LISTENER_HOST_MAX + 8];
	enum weir_err err = WEIR_OK;

	snprintf(port, sizeof(port), "%u", o->port);
	errno = 0;
	if (getaddrinfo(strcmp(name, "*") == 0 ? NULL : name, port, &hints, &all) != 0)
		return fail(r, "no such listen address", name);
	for (const struct addrinfo *ai = all; ai && err != WEIR_ERR_IO; ai = ai->ai_next) {
		err = open_addr(l, ai, o);
		is_any_open |= err == WEIR_OK;
	}
	freeaddrinfo(all);
	if (err == WEIR_ERR_IO || !is_any_open) {
		snprintf(where, sizeof(where), "%s port %s", name, port);
		return fail(r, "can't listen on", where);
	}
	return WEIR_OK;
}

static enum weir_err open_tcp(struct listener *l, const struct listener_options *o, struct reason r)
{
	char name[LISTENER_HOST_MAX];
	enum weir_err err = WEIR_OK;

	for (const char *at = o->addresses ? o->addresses : ""; *at && err == WEIR_OK;) {
		size_t len = strcspn(at, ", \t");

		if (len >= sizeof(name))
			return fail(r, "listen address too long in", o->addresses);
		memcpy(name, at, len);
		name[len] = '\0';
		if (len > 0)
			err = open_name(l, name, o, r);
		at += len;
		at += strspn(at, ", \t");
	}
	return err;
}

static bool is_alive(const struct sockaddr_un *addr, socklen_t len)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool is_taken =
		fd >= 0 && (connect(fd, (const struct sockaddr *)addr, len) == 0 || errno == EAGAIN);

	if (fd >= 0)
		close(fd);
	return is_taken;
}

static bool group_id(const char *group, gid_t *gid)
{
	char buf[LISTENER_GROUP_BUF], *end;
	struct group entry, *found = NULL;

	if (getgrnam_r(group, &entry, buf, sizeof(buf), &found) == 0 && found) {
		*gid = entry.gr_gid;
		return true;
	}
	*gid = (gid_t)strtoul(group, &end, 10);
	return *end == '\0';
}

/* The file's mode and group, and its identity for listener_close. */
static enum weir_err own_file(struct listener *l, const struct sockaddr_un *addr,
                              const struct listener_options *o, struct reason r)
{
	struct stat st;
	gid_t gid;

	if (chmod(addr->sun_path, (mode_t)o->unix_mode) < 0 || stat(addr->sun_path, &st) < 0)
		return fail(r, "can't set the mode of", addr->sun_path);
	l->unix_addr = *addr;
	l->unix_dev = st.st_dev;
	l->unix_ino = st.st_ino;
	errno = 0;
	if (o->unix_group && o->unix_group[0] &&
	    (!group_id(o->unix_group, &gid) || chown(addr->sun_path, (uid_t)-1, gid) < 0))
		return fail(r, "can't give the Unix socket to group", o->unix_group);
	return WEIR_OK;
}

static enum weir_err bind_unix(int fd, const struct sockaddr_un *addr, socklen_t len)
{
	if (addr->sun_path[0] && is_alive(addr, len)) {
		errno = EADDRINUSE;
		return WEIR_ERR_IO;
	}
	if (addr->sun_path[0])
		unlink(addr->sun_path);
	return bind(fd, (const struct sockaddr *)addr, len) == 0 ? WEIR_OK : WEIR_ERR_IO;
}

static enum weir_err open_unix(struct listener *l, const struct listener_options *o,
                               struct reason r)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	bool is_abstract = o->unix_dir && o->unix_dir[0] == '@';
	uint16_t port = o->port ? o->port : listener_port(l);
	socklen_t addr_len;
	int len, fd;

	if (!o->unix_dir || !o->unix_dir[0])
		return WEIR_OK;
	len = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/.s.PGSQL.%u", o->unix_dir, port);
	if (len < 0 || (size_t)len >= sizeof(addr.sun_path) || l->count == LISTENER_SOCKETS_MAX) {
		errno = ENAMETOOLONG;
		return fail(r, "can't listen in", o->unix_dir);
	}
	if (is_abstract)
		addr.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail(r, "can't listen in", o->unix_dir);
	addr_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len);
	if (bind_unix(fd, &addr, addr_len) != WEIR_OK ||
	    socket_add(l, fd, true, o->backlog) != WEIR_OK) {
		fail(r, "can't listen in", o->unix_dir);
		close(fd);
		return WEIR_ERR_IO;
	}
	return is_abstract ? WEIR_OK : own_file(l, &addr, o, r);
}

enum weir_err listener_open(struct loop *loop, const struct listener_options *options,
                            listener_accept_fn *on_accept, void *receiver,
                            struct listener **listener, char *why, size_t why_size)
{
	struct listener *l = mem_zalloc(sizeof(*l));
	struct reason r = { why, why_size };
	enum weir_err err;

	*listener = NULL;
	l->loop = loop;
	l->on_accept = on_accept;
	l->receiver = receiver;
	err = open_tcp(l, options, r);
	if (err == WEIR_OK)
		err = open_unix(l, options, r);
	if (err != WEIR_OK) {
		listener_close(l);
		return err;
	}
	events_add(l);
	*listener = l;
	return WEIR_OK;
}

static void remove_file(const struct listener *l)
{
	struct stat st;

	if (l->unix_addr.sun_path[0] && stat(l->unix_addr.sun_path, &st) == 0 &&
	    st.st_dev == l->unix_dev && st.st_ino == l->unix_ino)
		unlink(l->unix_addr.sun_path);
}

void listener_close(struct listener *listener)
{
	if (!listener)
		return;
	events_del(listener);
	loop_timer_cancel(&listener->rest);
	remove_file(listener);
	for (unsigned i = 0; i < listener->count; i++)
		close(listener->sockets[i].fd);
	mem_free(listener);
}

uint16_t listener_port(const struct listener *listener)
{
	struct sockaddr_storage addr = { 0 };
	socklen_t len = sizeof(addr);
	char host[LISTENER_HOST_MAX];
	uint16_t port = 0;

	if (listener->count > 0 && !listener->sockets[0].is_unix &&
	    getsockname(listener->sockets[0].fd, (struct sockaddr *)&addr, &len) == 0)
		socket_name(&addr, host, sizeof(host), &port);
	return port;
}
