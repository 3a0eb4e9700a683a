/* SPDX-License-Identifier: PostgreSQL */
/*
 * relay: the floor under every pooler's cost. It joins each connection that it
 * accepts to a new one to the target and passes bytes on unseen: a request and
 * its answer cost recv, send, recv, send, and a share of an epoll_wait. What a
 * pooler adds to that is the price of what it does.
 *
 *   relay PORT TARGET-PORT        (both on 127.0.0.1)
 *
 * One thread. A side that doesn't take all stops the reading of the other.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHUNK_BYTES = 64 * 1024, EVENTS_MAX = 128, BACKLOG = 1024 };

struct side {
	int fd;
	struct side *other;
	struct side *next_closed;
	bool is_closed;
	bool is_stuck; /* the other side waits for room here */
	char *rest;    /* what this side's socket didn't take; NULL: nothing */
	size_t rest_len;
};

struct relay {
	int epoll_fd;
	int listen_fd;
	struct sockaddr_in target;
	struct side *closed; /* freed after the batch, which may still name them */
	char chunk[CHUNK_BYTES];
};

static void watch(struct relay *r, struct side *s, int op, uint32_t events)
{
	struct epoll_event e = { .events = events, .data = { .ptr = s } };

	epoll_ctl(r->epoll_fd, op, s->fd, &e);
}

static void close_pair(struct relay *r, struct side *s)
{
	struct side *both[2] = { s, s->other };

	for (int i = 0; i < 2; i++) {
		if (both[i]->is_closed)
			continue;
		both[i]->is_closed = true;
		close(both[i]->fd);
		both[i]->next_closed = r->closed;
		r->closed = both[i];
	}
}

static void free_closed(struct relay *r)
{
	while (r->closed) {
		struct side *s = r->closed;

		r->closed = s->next_closed;
		free(s->rest);
		free(s);
	}
}

static void keep_rest(struct relay *r, struct side *to, const char *bytes, size_t len)
{
	to->rest = malloc(len);
	if (!to->rest)
		abort();
	memcpy(to->rest, bytes, len);
	to->rest_len = len;
	to->is_stuck = true;
	watch(r, to, EPOLL_CTL_MOD, EPOLLOUT);
	watch(r, to->other, EPOLL_CTL_MOD, 0);
}

static void on_readable(struct relay *r, struct side *from)
{
	ssize_t got = recv(from->fd, r->chunk, sizeof r->chunk, MSG_DONTWAIT), put;

	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0) {
		close_pair(r, from);
		return;
	}
	put = send(from->other->fd, r->chunk, (size_t)got, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (put < 0 && errno != EAGAIN)
		close_pair(r, from);
	else if (put < got)
		keep_rest(r, from->other, r->chunk + (put > 0 ? put : 0),
		          (size_t)(got - (put > 0 ? put : 0)));
}

static void on_writable(struct relay *r, struct side *to)
{
	ssize_t put = send(to->fd, to->rest, to->rest_len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (put < 0 && errno != EAGAIN) {
		close_pair(r, to);
		return;
	}
	if (put <= 0)
		return;
	to->rest_len -= (size_t)put;
	memmove(to->rest, to->rest + put, to->rest_len);
	if (to->rest_len > 0)
		return;
	free(to->rest);
	to->rest = NULL;
	to->is_stuck = false;
	watch(r, to, EPOLL_CTL_MOD, to->other->is_stuck ? 0 : EPOLLIN);
	watch(r, to->other, EPOLL_CTL_MOD, to->other->is_stuck ? EPOLLOUT : EPOLLIN);
}

static struct side *side_create(struct relay *r, int fd)
{
	struct side *s = calloc(1, sizeof *s);
	int one = 1;

	if (!s)
		abort();
	s->fd = fd;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	watch(r, s, EPOLL_CTL_ADD, EPOLLIN);
	return s;
}

static void on_connection(struct relay *r)
{
	int near = accept(r->listen_fd, NULL, NULL), far = -1;

	if (near < 0)
		return;
	far = socket(AF_INET, SOCK_STREAM, 0);
	if (far < 0 || connect(far, (struct sockaddr *)&r->target, sizeof r->target) < 0) {
		close(near);
		if (far >= 0)
			close(far);
		return;
	}
	struct side *a = side_create(r, near), *b = side_create(r, far);

	a->other = b;
	b->other = a;
}

static void on_event(struct relay *r, const struct epoll_event *e)
{
	struct side *s = e->data.ptr;

	if (!s)
		on_connection(r);
	else if (s->is_closed)
		return;
	else if (s->rest)
		on_writable(r, s);
	else
		on_readable(r, s);
}

static int listen_on(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, BACKLOG) < 0) {
		perror("relay");
		exit(1);
	}
	return fd;
}

int main(int argc, char **argv)
{
	static struct relay r;
	struct epoll_event events[EVENTS_MAX], e = { .events = EPOLLIN };

	if (argc != 3) {
		fprintf(stderr, "usage: relay PORT TARGET-PORT\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	r.target =
		(struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2])) };
	r.target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	r.listen_fd = listen_on((uint16_t)atoi(argv[1]));
	r.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(r.epoll_fd, EPOLL_CTL_ADD, r.listen_fd, &e);
	for (;;) {
		int n = epoll_wait(r.epoll_fd, events, EVENTS_MAX, -1);

		for (int i = 0; i < n; i++)
			on_event(&r, &events[i]);
		free_closed(&r);
	}
}
