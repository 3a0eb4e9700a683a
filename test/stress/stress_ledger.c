/* SPDX-License-Identifier: PostgreSQL */
/*
 * The ledger under several threads that behave as workers do: clients take an
 * idle server of their own worker or wait, freed servers go to whoever waits
 * first, some servers close, some clients give up. Nobody may be forgotten (the
 * program ends), and never are more servers open than the limit. A plain
 * program, for ThreadSanitizer; it speaks TAP.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/list.h"
#include "pool/ledger.h"

enum {
	WORKERS = 4,
	CLIENTS = 12, /* per worker */
	POOL_SIZE = 5,
	TURNS = 4000, /* transactions per client */
	HANG_SECONDS = 120,
};

struct worker;

struct client {
	struct ledger_waiter waiter;
	struct worker *worker;
	unsigned left; /* transactions */
	bool is_active;
};

enum mail_kind { MAIL_GRANT, MAIL_LOOK };

struct mail {
	enum mail_kind kind;
	struct client *client;
	struct mail *next;
};

struct worker {
	pthread_t thread;
	pthread_mutex_t mutex;
	struct mail *inbox; /* under mutex, newest first */
	struct client clients[CLIENTS];
	unsigned id;
	unsigned idle, opening; /* own thread */
	uint64_t random;
};

static struct ledger_entry *entry;
static struct worker workers[WORKERS];
static _Atomic unsigned active_servers, most_active;
static _Atomic unsigned clients_left;

static unsigned roll(struct worker *w, unsigned sides)
{
	w->random = w->random * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(w->random >> 33) % sides;
}

static void post(struct worker *to, enum mail_kind kind, struct client *c)
{
	struct mail *m = malloc(sizeof(*m));

	if (!m)
		abort();
	*m = (struct mail){ .kind = kind, .client = c };
	pthread_mutex_lock(&to->mutex);
	m->next = to->inbox;
	to->inbox = m;
	pthread_mutex_unlock(&to->mutex);
}

static void set_idle(struct worker *w, unsigned idle)
{
	w->idle = idle;
	ledger_set_idle(entry, w->id, idle);
}

static void begin(struct client *c)
{
	unsigned now = atomic_fetch_add(&active_servers, 1) + 1;
	unsigned most = atomic_load(&most_active);

	while (now > most && !atomic_compare_exchange_weak(&most_active, &most, now))
		;
	c->is_active = true;
}

/* Gives idle servers to whoever waits first, on any worker. */
static void serve(struct worker *w)
{
	while (w->idle > 0 && ledger_has_waiters(entry)) {
		struct ledger_waiter *first = ledger_next(entry);
		struct client *c;

		if (!first)
			return;
		c = (struct client *)(void *)((char *)first - offsetof(struct client, waiter));
		set_idle(w, w->idle - 1);
		post(&workers[first->worker], MAIL_GRANT, c);
	}
}

static void follow(struct worker *w, struct ledger_advice advice)
{
	if (advice.open)
		w->opening++;
	else if (advice.steal_from != LEDGER_NO_WORKER)
		post(&workers[advice.steal_from], MAIL_LOOK, NULL);
}

static void acquire(struct worker *w, struct client *c)
{
	if (w->idle > 0 && !ledger_has_waiters(entry)) {
		set_idle(w, w->idle - 1);
		begin(c);
		return;
	}
	follow(w, ledger_wait(entry, &c->waiter));
	serve(w);
}

static void release(struct worker *w, struct client *c)
{
	c->is_active = false;
	atomic_fetch_sub(&active_servers, 1);
	if (--c->left == 0)
		atomic_fetch_sub(&clients_left, 1);
	if (roll(w, 20) == 0) {
		follow(w, ledger_closed(entry, false));
		return;
	}
	set_idle(w, w->idle + 1);
	serve(w);
}

/* A connection attempt ends: mostly well. A failed one is tried again for those who wait. */
static void connect_one(struct worker *w)
{
	w->opening--;
	if (roll(w, 10) == 0) {
		ledger_closed(entry, true);
		if (ledger_has_waiters(entry) && ledger_reserve(entry))
			w->opening++;
		return;
	}
	ledger_connected(entry);
	set_idle(w, w->idle + 1);
	serve(w);
}

static void deliver(struct worker *w)
{
	struct mail *m, *next;

	pthread_mutex_lock(&w->mutex);
	m = w->inbox;
	w->inbox = NULL;
	pthread_mutex_unlock(&w->mutex);
	for (; m; m = next) {
		next = m->next;
		if (m->kind == MAIL_GRANT) {
			m->client->waiter.state = WAITER_NONE;
			begin(m->client);
		} else {
			serve(w);
		}
		free(m);
	}
}

static void step(struct worker *w, struct client *c)
{
	if (c->is_active) {
		if (roll(w, 3) == 0)
			release(w, c);
	} else if (c->left > 0 && c->waiter.state == WAITER_NONE) {
		acquire(w, c);
	} else if (c->left > 0 && roll(w, 200) == 0) {
		/* Gives up; false: granted already, the mail is on its way. */
		ledger_unwait(entry, &c->waiter);
	}
}

/*
 * Failed connects may leave waiters whose retry nobody owns any more, as when the
 * node was down; the real pool has a timer for it, and so has this one.
 */
static void retry(struct worker *w)
{
	if (ledger_has_waiters(entry) && w->opening == 0 && roll(w, 50) == 0 && ledger_reserve(entry))
		w->opening++;
}

static void *run(void *arg)
{
	struct worker *w = arg;

	while (atomic_load(&clients_left) > 0) {
		deliver(w);
		for (unsigned i = 0; i < CLIENTS; i++)
			step(w, &w->clients[i]);
		if (w->opening > 0)
			connect_one(w);
		retry(w);
		if (roll(w, 16) == 0)
			usleep(0);
	}
	return NULL;
}

static void start(struct worker *w, unsigned id)
{
	w->id = id;
	w->random = 17 + id;
	pthread_mutex_init(&w->mutex, NULL);
	for (unsigned i = 0; i < CLIENTS; i++) {
		w->clients[i].left = TURNS;
		w->clients[i].worker = w;
		w->clients[i].waiter.worker = (uint16_t)id;
	}
}

int main(void)
{
	struct ledger_limits limits = { .pool_size = POOL_SIZE };
	struct ledger *ledger = ledger_create(WORKERS);

	alarm(HANG_SECONDS); /* somebody was forgotten: ends with a signal */
	printf("TAP version 13\n1..1\n");
	entry = ledger_entry_find(ledger, slice_str("shop"), slice_str("ann"), 1);
	ledger_set_limits(entry, &limits);
	atomic_store(&clients_left, WORKERS * CLIENTS);
	for (unsigned i = 0; i < WORKERS; i++)
		start(&workers[i], i);
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_create(&workers[i].thread, NULL, run, &workers[i]);
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(workers[i].thread, NULL);
	printf("%s 1 - stress::ledger %u transactions, %u servers at once\n",
	       atomic_load(&most_active) <= POOL_SIZE && atomic_load(&active_servers) == 0 ? "ok"
	                                                                                   : "not ok",
	       WORKERS * CLIENTS * TURNS, atomic_load(&most_active));
	for (unsigned i = 0; i < WORKERS; i++)
		deliver(&workers[i]);
	ledger_destroy(ledger);
	return atomic_load(&most_active) <= POOL_SIZE ? 0 : 1;
}
