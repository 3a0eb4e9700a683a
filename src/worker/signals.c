/* SPDX-License-Identifier: PostgreSQL */
/*
 * One thread in sigwait: no handler runs anywhere, so nothing is interrupted.
 */
#include "worker/signals.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "worker/control.h"

static struct {
	pthread_t thread;
	bool is_started;
	struct control *control; /* borrowed: outlives the thread */
} waiter;

static void wanted(sigset_t *set)
{
	static const int signals[] = { SIGHUP, SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2 };

	sigemptyset(set);
	for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
		sigaddset(set, signals[i]);
	sigaddset(set, SIGNAL_DRAIN);
}

void signals_block(void)
{
	sigset_t set;

	wanted(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static void *run(void *arg)
{
	struct control *c = arg;
	sigset_t set;
	int number;

	wanted(&set);
	while (sigwait(&set, &number) == 0) {
		if (number == SIGNAL_DRAIN) { /* not a constant: the C library keeps some for itself */
			control_drain_post(c);
			continue;
		}
		switch (number) {
		case SIGHUP:
			control_reload_post(c);
			break;
		case SIGUSR1:
			control_pause_post(c, true);
			break;
		case SIGUSR2:
			control_pause_post(c, false);
			break;
		default:
			control_stop_post(c, number == SIGQUIT);
			break;
		}
	}
	return NULL;
}

int signals_start(struct control *c)
{
	int err = pthread_create(&waiter.thread, NULL, run, c);

	waiter.control = c;
	waiter.is_started = err == 0;
	return err;
}

void signals_stop(void)
{
	if (!waiter.is_started)
		return;
	pthread_cancel(waiter.thread);
	pthread_join(waiter.thread, NULL);
	waiter.is_started = false;
}
