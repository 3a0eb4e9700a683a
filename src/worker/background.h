/* SPDX-License-Identifier: PostgreSQL */
/*
 * pgweir -d: the process that was started returns once its child serves, or
 * has failed, so that a script knows. Before any thread is made.
 */
#ifndef WEIR_WORKER_BACKGROUND_H
#define WEIR_WORKER_BACKGROUND_H

/*
 * Forks; the parent never returns from it. Gives the way to the parent, for
 * background_ready; -1: it couldn't, standard error says why.
 */
int background_begin(void);
/* In the child, when it serves: lets go of the terminal and of the parent. */
void background_ready(int to_parent);

#endif
