/* SPDX-License-Identifier: PostgreSQL */
/*
 * Worker threads. Stopping takes two steps: everything is closed in one turn,
 * and a short timer later, when last words have left, the loop ends.
 */
#include "worker/worker.h"

#include <pthread.h>
#include <stdio.h>

#include "base/mem.h"
#include "net/listener.h"
#include "sql/statement.h"

enum { LAST_WORDS_US = 50000 };

struct worker {
	pthread_t thread;
	bool is_started;
	struct loop *loop;
	struct listener *listener; /* owned; NULL: others accept, or nobody any more */
	struct proxy *proxy;
	struct loop_timer stop_timer;
	unsigned index;
};

struct worker *worker_create(struct proxy_shared *shared, unsigned index,
			     struct settings *settings, struct loop *loop)
{
	struct worker *w = mem_zalloc(sizeof *w);

	w->index = index;
	w->loop = loop;
	w->proxy = proxy_create(shared, index, w->loop, settings);
	shared->proxies[index] = w->proxy;
	return w;
}

struct loop *worker_loop(struct worker *w)
{
	return w->loop;
}

void worker_listen(struct worker *w, struct listener *listener)
{
	w->listener = listener;
}

static void *run(void *arg)
{
	struct worker *w = arg;
	char name[16];

	snprintf(name, sizeof name, "pgweir-%u", w->index);
	pthread_setname_np(pthread_self(), name);
	loop_run(w->loop);
	return NULL;
}

int worker_start(struct worker *w)
{
	int err = pthread_create(&w->thread, NULL, run, w);

	w->is_started = err == 0;
	return err;
}

void worker_join(struct worker *w)
{
	if (w->is_started)
		pthread_join(w->thread, NULL);
	w->is_started = false;
}

void worker_destroy(struct worker *w)
{
	proxy_destroy(w->proxy);
	loop_destroy(w->loop);
	mem_free(w);
}

static void on_task(struct mail *mail, void *receiver)
{
	struct task *t = list_entry(mail, struct task, mail);

	t->run(t, receiver);
	mem_free(t->text);
	mem_free(t);
}

struct task *task_create(void (*run_task)(struct task *task, struct proxy *proxy))
{
	struct task *t = mem_zalloc(sizeof *t);

	t->mail.deliver = on_task;
	t->run = run_task;
	return t;
}

void worker_post(struct worker *w, struct task *task)
{
	mailbox_post(w->proxy->mailbox, &task->mail);
}

static void on_last_words(struct loop_timer *timer)
{
	loop_stop(list_entry(timer, struct worker, stop_timer)->loop);
}

static void run_stop(struct task *task, struct proxy *proxy)
{
	struct worker *w = task->ptr;

	proxy_close_all(proxy);
	loop_timer_arm(w->loop, &w->stop_timer, LAST_WORDS_US, on_last_words);
}

static void run_stop_listening(struct task *task, struct proxy *proxy)
{
	struct worker *w = task->ptr;

	(void)proxy;
	listener_close(w->listener);
	w->listener = NULL;
}

void worker_stop_listening_post(struct worker *w)
{
	struct task *t = task_create(run_stop_listening);

	t->ptr = w;
	worker_post(w, t);
}

void worker_stop_post(struct worker *w)
{
	struct task *t = task_create(run_stop);

	t->ptr = w;
	worker_post(w, t);
}
