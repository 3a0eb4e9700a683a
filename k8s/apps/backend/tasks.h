/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the process asks the database for itself, on timers: a sign of life for
 * /readyz, the number of accounts for /metrics, and the quote feed. Each has
 * one statement at a time and gives way to requests: it skips its turn when the
 * queue is full. Loop's thread.
 */
#ifndef FINAI_TASKS_H
#define FINAI_TASKS_H

struct app;
struct tasks;

struct tasks *tasks_create(struct app *app);
void tasks_destroy(struct tasks *tasks); /* NULL is fine; a running one is given up */

#endif
