/* SPDX-License-Identifier: PostgreSQL */
/*
 * What one pgweir process tells another that runs, found by its pidfile: the
 * commands --drain and --reload, for images without a shell. They only send
 * signals, so the right to send one is the right to use them.
 */
#ifndef WEIR_WORKER_REMOTE_H
#define WEIR_WORKER_REMOTE_H

struct config;

/* Returns when the other has drained or ended; the exit status. */
int remote_drain(const struct config *config);
int remote_reload(const struct config *config);

#endif
