/* SPDX-License-Identifier: PostgreSQL */
/*
 * epoll itself, level-triggered. What is stopped by a callback is taken out of
 * the events that the last wait brought, so that nobody is called who may be
 * gone. Changes go to the kernel at once: a watch is started and stopped per
 * connection, not per query.
 */
#include "net/poll.h"

#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/conn_priv.h"
#include "net/watch.h"

enum { EVENTS_MAX = 512, US_PER_MS = 1000 };

struct poll {
	int fd; /* owned */
	int count, at; /* events of the last wait, and the one being told */
	struct epoll_event events[EVENTS_MAX];
};

struct poll *poll_create(void)
{
	struct poll *p = mem_zalloc(sizeof(*p));

	p->fd = epoll_create1(EPOLL_CLOEXEC);
	if (p->fd >= 0)
		return p;
	mem_free(p);
	return NULL;
}

void poll_destroy(struct poll *p)
{
	close(p->fd);
	mem_free(p);
}

/* A connection's entry is that of its read watch, whichever direction is waited for. */
static struct ring_wait *entry_of(struct ring_wait *w)
{
	struct conn *conn = w->arg;

	return w->what == WATCH_WRITE ? &conn->read_watch.wait : w;
}

static uint8_t direction_of(const struct ring_wait *w)
{
	return w->what == WATCH_WRITE ? EPOLLOUT : EPOLLIN;
}

static void change(struct poll *p, struct ring_wait *entry, int fd, uint8_t polled)
{
	struct epoll_event e = { .events = polled, .data.ptr = entry };
	int op = !entry->polled ? EPOLL_CTL_ADD : polled ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;

	if (polled == entry->polled)
		return;
	if (epoll_ctl(p->fd, op, fd, &e) < 0)
		log_error("epoll_refused", "fd=%d op=%d errno=%d", fd, op, errno);
	entry->polled = polled;
}

void poll_start(struct poll *p, struct ring_wait *w)
{
	struct ring_wait *entry = entry_of(w);

	change(p, entry, w->fd, entry->polled | direction_of(w));
}

void poll_stop(struct poll *p, struct ring_wait *w)
{
	struct ring_wait *entry = entry_of(w);

	change(p, entry, w->fd, entry->polled & (uint8_t)~direction_of(w));
	if (entry->polled)
		return;
	for (int i = p->at; i < p->count; i++) {
		if (p->events[i].data.ptr == entry)
			p->events[i].data.ptr = NULL;
	}
}

void poll_wait(struct poll *p, uint64_t wait_us)
{
	int wait_ms = -1;

	if (wait_us <= (uint64_t)(INT_MAX - 1) * US_PER_MS)
		wait_ms = (int)((wait_us + US_PER_MS - 1) / US_PER_MS);
	p->at = 0;
	p->count = epoll_wait(p->fd, p->events, EVENTS_MAX, wait_ms);
	if (p->count < 0) {
		WEIR_ASSERT(errno == EINTR);
		p->count = 0;
	}
}

/* An error or a hang-up concerns both directions. */
static void tell(const struct epoll_event *e)
{
	struct ring_wait *w = e->data.ptr;
	bool is_over = e->events & (EPOLLERR | EPOLLHUP);

	if ((is_over || e->events & EPOLLOUT) && w->polled & EPOLLOUT)
		conn_write_ready(w->arg);
	/* e->data.ptr is NULL if that ended it. */
	if (e->data.ptr && (is_over || e->events & EPOLLIN) && w->polled & EPOLLIN)
		w->on_ready(w->fd, 0, w->arg);
}

void poll_dispatch(struct poll *p)
{
	for (; p->at < p->count; p->at++) {
		if (p->events[p->at].data.ptr)
			tell(&p->events[p->at]);
	}
	p->at = p->count = 0;
}
