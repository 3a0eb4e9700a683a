/* SPDX-License-Identifier: PostgreSQL */
/*
 * Signals as orders to the control plane: HUP reload, TERM drain (again: stop),
 * INT drain, QUIT stop, USR1 pause, USR2 resume, the first
 * real-time signal: drain and stay. A thread waits for them.
 */
#ifndef WEIR_WORKER_SIGNALS_H
#define WEIR_WORKER_SIGNALS_H

#include <signal.h>

struct control;

/* `pgweir --drain` sends it: drain as SIGTERM does, but stay. */
#define SIGNAL_DRAIN SIGRTMIN

void signals_block(void); /* before the first thread */
int signals_start(struct control *c); /* 0 or an errno */
void signals_stop(void);

#endif
