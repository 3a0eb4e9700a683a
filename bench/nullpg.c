/* SPDX-License-Identifier: PostgreSQL */
/*
 * nullpg: a PostgreSQL server that knows every answer already, so that the
 * cost of what stands in front of it isn't drowned in PostgreSQL's own. Trust
 * authentication, protocol 3.0, no TLS; simple and extended queries,
 * transactions, SET with its report, COPY TO STDOUT as a stream of fixed size.
 *
 *   nullpg PORT [COPY-MB [REAL-PORT USER]]      (on 127.0.0.1)
 *
 * Sessions of USER (a pooler's own probes, which need true answers) are passed
 * on to a real PostgreSQL. One thread, epoll.
 */
#include "nullpg.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	EVENTS_MAX = 128,
	BACKLOG = 1024,
	READ_BYTES = 32 * 1024,
	STREAM_BYTES = 128 * 1024, /* of a COPY kept ready for the socket */
	NAMED_MAX = 1024,          /* named statements per session */
	NAME_MAX_BYTES = 64,
	SSL_REQUEST = 80877103,
	GSS_REQUEST = 80877104,
};

struct named {
	char name[NAME_MAX_BYTES];
	struct statement statement;
};

struct session {
	int fd;
	bool is_started, is_closing, is_closed, wants_out, is_copy_simple;
	struct session *real; /* passed on: the other side */
	struct session *next_closed;
	struct bytes in, out;
	struct session_state state;
	struct statement portal;
	struct named *named; /* the first one is the unnamed */
	size_t named_count;
};

struct server {
	int epoll_fd, listen_fd;
	uint64_t copy_rows;
	uint16_t real_port; /* 0: none */
	const char *real_user;
	struct session *closed;
};

static uint32_t read_u32(const char *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return ntohl(v);
}

static struct session *session_create(struct server *srv, int fd)
{
	struct session *s = calloc(1, sizeof *s);
	struct epoll_event e = { .events = EPOLLIN, .data = { .ptr = s } };
	int one = 1;

	if (!s || !(s->named = calloc(NAMED_MAX, sizeof *s->named)))
		abort();
	s->fd = fd;
	s->named_count = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	epoll_ctl(srv->epoll_fd, EPOLL_CTL_ADD, fd, &e);
	return s;
}

static void session_close(struct server *srv, struct session *s)
{
	if (s->is_closed)
		return;
	s->is_closed = true;
	close(s->fd);
	s->next_closed = srv->closed;
	srv->closed = s;
	if (s->real)
		session_close(srv, s->real);
}

static void free_closed(struct server *srv)
{
	while (srv->closed) {
		struct session *s = srv->closed;

		srv->closed = s->next_closed;
		free(s->named);
		free(s->in.data);
		free(s->out.data);
		free(s);
	}
}

static struct named *find_named(struct session *s, const char *name, bool may_create)
{
	if (!*name)
		return &s->named[0];
	for (size_t i = 1; i < s->named_count; i++)
		if (strcmp(s->named[i].name, name) == 0)
			return &s->named[i];
	if (!may_create || s->named_count == NAMED_MAX)
		return &s->named[0];
	snprintf(s->named[s->named_count].name, NAME_MAX_BYTES, "%s", name);
	return &s->named[s->named_count++];
}

static void close_named(struct session *s, const char *name)
{
	struct named *n = find_named(s, name, false);

	if (n != &s->named[0])
		*n = s->named[--s->named_count];
}

/* True: it ran to its end; false: a stream has begun. */
static bool run_simple(struct server *srv, struct session *s, const char *at, const char *end)
{
	struct statement st;
	bool is_empty = true;

	while (statement_read(&at, end, &st)) {
		is_empty = false;
		if (st.kind == KIND_ROW)
			say_description(&s->out, &st);
		say_execution(&s->out, &st, &s->state, srv->copy_rows);
		if (st.kind == KIND_COPY_OUT)
			return false;
	}
	if (is_empty)
		say_message(&s->out, 'I', "", 0);
	return true;
}

static void on_parse(struct session *s, const char *body, const char *end)
{
	struct named *n = find_named(s, body, true);
	const char *sql = body + strlen(body) + 1;

	if (sql < end)
		statement_read(&sql, sql + strnlen(sql, (size_t)(end - sql)), &n->statement);
	say_message(&s->out, '1', "", 0);
}

static void on_describe(struct session *s, const char *body)
{
	const struct statement *st = &s->portal;

	if (*body == 'S') {
		st = &find_named(s, body + 1, false)->statement;
		say_message(&s->out, 't', "\0\0", 2);
	}
	say_description(&s->out, st);
}

/* body is NUL-terminated: the byte behind a message is overwritten while it is looked at. */
static void on_message(struct server *srv, struct session *s, char type, const char *body,
                       size_t len)
{
	switch (type) {
	case 'Q':
		s->is_copy_simple = !run_simple(srv, s, body, body + strlen(body));
		if (!s->is_copy_simple)
			say_ready(&s->out, &s->state);
		break;
	case 'P':
		on_parse(s, body, body + len);
		break;
	case 'B':
		if (strlen(body) < len)
			s->portal = find_named(s, body + strlen(body) + 1, false)->statement;
		say_message(&s->out, '2', "", 0);
		break;
	case 'D':
		on_describe(s, body);
		break;
	case 'E':
		say_execution(&s->out, &s->portal, &s->state, srv->copy_rows);
		break;
	case 'C':
		if (*body == 'S')
			close_named(s, body + 1);
		say_message(&s->out, '3', "", 0);
		break;
	case 'S':
		say_ready(&s->out, &s->state);
		break;
	case 'X':
		s->is_closing = true;
		break;
	default:
		break;
	}
}

/* Is the user of this startup packet the one to be passed on? */
static bool is_for_real(const struct server *srv, const char *body, const char *end)
{
	while (srv->real_port && body < end && *body) {
		const char *value = body + strlen(body) + 1;

		if (value >= end)
			break;
		if (strcmp(body, "user") == 0)
			return strcmp(value, srv->real_user) == 0;
		body = value + strlen(value) + 1;
	}
	return false;
}

static void pass_on(struct server *srv, struct session *s)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(srv->real_port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) < 0) {
		if (fd >= 0)
			close(fd);
		s->is_closing = true;
		return;
	}
	s->real = session_create(srv, fd);
	s->real->real = s;
	bytes_add(&s->real->out, s->in.data, s->in.len);
	s->in.len = 0;
}

/* The bytes of one startup packet; 0: not whole. */
static size_t take_startup(struct server *srv, struct session *s, char *at, size_t have)
{
	uint32_t len, code;

	if (have < 8 || have < (len = read_u32(at)))
		return 0;
	code = read_u32(at + 4);
	if (code == SSL_REQUEST || code == GSS_REQUEST) {
		bytes_add(&s->out, "N", 1);
	} else if (len < 9 || code >> 16 != 3) {
		s->is_closing = true;
	} else {
		at[len - 1] = '\0';
		if (is_for_real(srv, at + 8, at + len)) {
			pass_on(srv, s);
			return 0;
		}
		say_greeting(&s->out);
		say_ready(&s->out, &s->state);
		s->is_started = true;
	}
	return len < 8 ? have : len;
}

static size_t take_message(struct server *srv, struct session *s, char *at, size_t have)
{
	size_t len;
	char kept;

	if (have < 5 || have - 1 < (len = read_u32(at + 1)) || len < 4)
		return 0;
	kept = at[1 + len]; /* there is room: see on_readable */
	at[1 + len] = '\0';
	on_message(srv, s, at[0], at + 5, len - 4);
	at[1 + len] = kept;
	return 1 + len;
}

static void take_all(struct server *srv, struct session *s)
{
	size_t done = 0, n = 1;

	while (n > 0 && !s->is_closing && !s->real && s->state.copy_rows_left == 0) {
		char *at = s->in.data + done;
		size_t have = s->in.len - done;

		n = s->is_started ? take_message(srv, s, at, have) : take_startup(srv, s, at, have);
		done += n;
	}
	if (s->real)
		return;
	memmove(s->in.data, s->in.data + done, s->in.len - done);
	s->in.len -= done;
}

/* False: the session is over. */
static bool send_out(struct server *srv, struct session *s)
{
	bool is_full = false;

	for (;;) {
		if (s->state.copy_rows_left > 0 && s->out.len == 0 &&
		    say_copy(&s->out, &s->state, STREAM_BYTES, srv->copy_rows) && s->is_copy_simple)
			say_ready(&s->out, &s->state);
		if (s->out.sent == s->out.len)
			break;
		ssize_t n = send(s->fd, s->out.data + s->out.sent, s->out.len - s->out.sent,
		                 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN)
			return false;
		is_full = n < 0;
		if (is_full)
			break;
		s->out.sent += (size_t)n;
		if (s->out.sent == s->out.len)
			s->out.sent = s->out.len = 0;
	}
	if (is_full != s->wants_out) {
		struct epoll_event e = { .events = is_full ? EPOLLIN | EPOLLOUT : EPOLLIN,
			                     .data = { .ptr = s } };

		s->wants_out = is_full;
		epoll_ctl(srv->epoll_fd, EPOLL_CTL_MOD, s->fd, &e);
	}
	return is_full || !s->is_closing;
}

/* False: the session is over. */
static bool on_readable(struct session *s)
{
	ssize_t n = recv(s->fd, bytes_room(&s->in, READ_BYTES + 1), READ_BYTES, MSG_DONTWAIT);

	if (n > 0)
		s->in.len += (size_t)n;
	return n > 0 || (n < 0 && errno == EAGAIN);
}

static void on_event(struct server *srv, struct session *s, uint32_t events)
{
	if (s->is_closed)
		return;
	if ((events & ~(uint32_t)EPOLLOUT) && !on_readable(s)) {
		session_close(srv, s);
		return;
	}
	if (!s->real)
		take_all(srv, s);
	if (s->real) {
		bytes_add(&s->real->out, s->in.data ? s->in.data : "", s->in.len);
		s->in.len = 0;
		if (!send_out(srv, s->real)) {
			session_close(srv, s);
			return;
		}
	}
	if (!send_out(srv, s))
		session_close(srv, s);
}

static int listen_on(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, BACKLOG) < 0) {
		perror("nullpg");
		exit(1);
	}
	return fd;
}

static void serve(struct server *srv)
{
	struct epoll_event events[EVENTS_MAX];
	int n = epoll_wait(srv->epoll_fd, events, EVENTS_MAX, -1);

	for (int i = 0; i < n; i++) {
		int fd;

		if (events[i].data.ptr)
			on_event(srv, events[i].data.ptr, events[i].events);
		else if ((fd = accept(srv->listen_fd, NULL, NULL)) >= 0)
			session_create(srv, fd);
	}
	free_closed(srv);
}

int main(int argc, char **argv)
{
	struct server srv = { .copy_rows = 1000000 };
	struct epoll_event e = { .events = EPOLLIN };

	if (argc != 2 && argc != 3 && argc != 5) {
		fprintf(stderr, "usage: nullpg PORT [COPY-MB [REAL-PORT USER]]\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	if (argc > 2)
		srv.copy_rows = (uint64_t)atoi(argv[2]) * 1000000 / COPY_ROW_BYTES;
	if (argc > 4) {
		srv.real_port = (uint16_t)atoi(argv[3]);
		srv.real_user = argv[4];
	}
	srv.listen_fd = listen_on((uint16_t)atoi(argv[1]));
	srv.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(srv.epoll_fd, EPOLL_CTL_ADD, srv.listen_fd, &e);
	for (;;)
		serve(&srv);
}
