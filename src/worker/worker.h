/* SPDX-License-Identifier: PostgreSQL */
/*
 * A worker: a thread with a loop and a proxy. The control thread makes it,
 * posts tasks to it, and joins it. A task runs on the worker's loop.
 */
#ifndef WEIR_WORKER_WORKER_H
#define WEIR_WORKER_WORKER_H

#include <stdbool.h>

#include "net/mailbox.h"
#include "net/loop.h"
#include "proxy/proxy.h"

struct listener;
struct worker;

struct task { /* heap; freed after run */
	struct mail mail;
	void (*run)(struct task *task, struct proxy *proxy);
	void *ptr;     /* what run makes of them is the poster's business */
	char *text;    /* owned; freed with the task */
	uint64_t number;
	bool flag;
};

struct worker *worker_create(struct proxy_shared *shared, unsigned index,
			     struct settings *settings, struct loop *loop); /* takes the loop */
int worker_start(struct worker *w);  /* 0, or an errno of pthread_create */
void worker_join(struct worker *w);  /* after worker_stop_post */
void worker_destroy(struct worker *w);

struct task *task_create(void (*run)(struct task *task, struct proxy *proxy));
void worker_post(struct worker *w, struct task *task); /* any thread; consumes the task */
struct loop *worker_loop(struct worker *w);
/* The worker accepts by itself: takes a listener on its loop; before worker_start. */
void worker_listen(struct worker *w, struct listener *listener);
void worker_stop_listening_post(struct worker *w); /* closes it; before worker_stop_post */
/* Closes everything, lets what was written leave, ends the loop. */
void worker_stop_post(struct worker *w);

#endif
