/* SPDX-License-Identifier: PostgreSQL */
/*
 * Many log-ins side by side without a thread or a poll: each round takes every
 * client one message further, so that all of them are within their log-in at
 * the same time. PBKDF2 is paid once, since all have one password.
 */
#include "crowd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "auth/key_cache.h"
#include "auth/server_login.h"
#include "base/mem.h"
#include "wire/backend.h"
#include "wire/build.h"
#include "wire/frame.h"
#include "wire/startup.h"

enum { MESSAGES_MAX = 64 * 1024, SOURCE_CLIENTS = 20000 };

struct login {
	struct server_login auth;
	char bytes[MESSAGES_MAX]; /* received, from the first message that isn't looked at yet */
	size_t len;
};

static struct key_cache *keys;

void member_send(struct member *m, struct slice bytes)
{
	ssize_t sent = m->ssl ? SSL_write(m->ssl, bytes.ptr, (int)bytes.len) :
				send(m->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);

	if (sent != (ssize_t)bytes.len)
		die("send");
}

size_t member_receive(struct member *m, char *out, size_t room)
{
	ssize_t got = m->ssl ? SSL_read(m->ssl, out, (int)room) : recv(m->fd, out, room, 0);

	if (got <= 0)
		die("the connection ended");
	return (size_t)got;
}

/* Source addresses of their own, since each has a limited number of ports. */
static int dial(const struct crowd *crowd, size_t index)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(crowd->port) };
	struct sockaddr_in from = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(index / SOURCE_CLIENTS));
	if (fd < 0)
		die("socket");
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (bind(fd, (struct sockaddr *)&from, sizeof from) < 0 ||
	    connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
		die("connect");
	return fd;
}

static void start_tls(struct crowd *crowd, struct member *m)
{
	char answer;

	if (member_receive(m, &answer, 1) != 1 || answer != 'S')
		die("no TLS there");
	m->ssl = SSL_new(crowd->tls);
	if (!m->ssl || SSL_set_fd(m->ssl, m->fd) != 1 || SSL_connect(m->ssl) != 1)
		die("TLS handshake");
}

static void send_startup(const struct crowd *crowd, struct member *m)
{
	struct slice pairs[] = { slice_str("user"), slice_str(crowd->user), slice_str("database"),
				 slice_str(crowd->database) };
	struct server_login_input in = {
		.user = slice_str(crowd->user),
		.secret = slice_str(crowd->password),
		.allowed = SERVER_AUTH_ANY,
		.cache = keys,
	};
	struct buf b;

	m->login = mem_zalloc(sizeof *m->login);
	server_login_init(&m->login->auth, &in);
	buf_init(&b, MESSAGES_MAX);
	build_startup(&b, PG_PROTOCOL_3_0, pairs, 2);
	member_send(m, buf_slice(&b));
	buf_fini(&b);
}

static void login_done(struct member *m)
{
	server_login_fini(&m->login->auth);
	mem_free(m->login);
	m->login = NULL;
}

/* One of the server's messages. */
static void take_message(struct member *m, const struct frame *f)
{
	enum server_login_step step;
	struct buf out;

	if (f->type == BE_READY) {
		login_done(m);
		return;
	}
	if (f->type == BE_ERROR)
		die("a log-in was refused");
	if (f->type != BE_AUTHENTICATION)
		return;
	buf_init(&out, MESSAGES_MAX);
	step = server_login_message(&m->login->auth, f->body, &out);
	if (step == SERVER_LOGIN_FAILED)
		die(m->login->auth.error.message);
	if (out.len)
		member_send(m, buf_slice(&out));
	buf_fini(&out);
}

/* Waits for bytes and takes the messages in them. */
static void go_on(struct member *m)
{
	struct login *l = m->login;
	size_t at = 0, used;
	struct frame f;

	l->len += member_receive(m, l->bytes + l->len, sizeof l->bytes - l->len);
	while (m->login &&
	       frame_next(slice_of(l->bytes + at, l->len - at), MESSAGES_MAX, &f, &used) == WEIR_OK) {
		at += used;
		take_message(m, &f);
	}
	if (!m->login)
		return;
	l->len -= at;
	memmove(l->bytes, l->bytes + at, l->len);
}

void crowd_login(struct crowd *crowd, size_t from, size_t to)
{
	size_t left = to - from;

	if (!keys)
		keys = key_cache_create();
	for (size_t i = from; i < to; i++) {
		crowd->members[i].fd = dial(crowd, i);
		if (crowd->tls)
			member_send(&crowd->members[i], wire_ssl_request);
	}
	for (size_t i = from; i < to; i++) {
		if (crowd->tls)
			start_tls(crowd, &crowd->members[i]);
		send_startup(crowd, &crowd->members[i]);
	}
	while (left > 0) {
		left = 0;
		for (size_t i = from; i < to; i++) {
			if (crowd->members[i].login)
				go_on(&crowd->members[i]);
			left += crowd->members[i].login != NULL;
		}
	}
}
