/* SPDX-License-Identifier: PostgreSQL */
/*
 * One connection to the database (pgweir), never blocking: opened, used for one
 * batch of statements at a time in libpq's pipeline mode, closed. What is told
 * comes by callbacks from the loop, never from inside a call. Loop's thread.
 */
#ifndef FINAI_LINK_H
#define FINAI_LINK_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "backend/statement.h"

struct address;
struct event_base;
struct evdns_base;
struct link;
struct metrics;

enum { LINK_QUERIES_MAX = 4, LINK_PARAMS_MAX = 6 };

struct link_settings {
	struct event_base *base;       /* borrowed */
	struct evdns_base *dns;        /* borrowed */
	const struct address *address; /* borrowed */
	struct metrics *metrics;       /* borrowed: durations and errors are counted here */
	uint32_t connect_timeout_ms;
	/* is_up: logged in. Otherwise the log-in failed, or an idle connection was lost. */
	void (*on_change)(void *arg, struct link *link, bool is_up);
	void *arg;
};

struct link_query {
	enum statement statement;
	enum read_from from;
	const char *params[LINK_PARAMS_MAX]; /* borrowed for the call */
	int param_count;
	const char *comment; /* "" or what trace_comment made: then it isn't prepared */
};

/* A batch's end. Valid for the callback. */
struct link_outcome {
	const PGresult *results[LINK_QUERIES_MAX]; /* NULL from the first failed one on */
	int count;                                 /* of good results */
	char sqlstate[6];                          /* empty: all good; 08006: the connection is lost */
	char message[256];
};

typedef void link_done_fn(void *arg, struct link *link, const struct link_outcome *outcome);

struct link *link_create(const struct link_settings *settings);
void link_destroy(struct link *link); /* NULL is fine; no callback comes any more */
/* Down before. is_repeat: the last log-in failed, so another failure is told at level debug. */
void link_open(struct link *link, bool is_repeat);
/* Ends it without a callback; a running batch is given up, and its callback doesn't come. */
void link_drop(struct link *link);

bool link_is_up(const struct link *link);
bool link_in_transaction(const struct link *link);
/* Up, nothing running. done is told once, also when the connection is lost. */
void link_run(struct link *link, const struct link_query *queries, int count, link_done_fn *done,
              void *arg);

#endif
