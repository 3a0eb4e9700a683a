/* SPDX-License-Identifier: PostgreSQL */
/*
 * The serving process: its parts, their start and their end. One loop, one
 * thread; everything hangs on struct app.
 */
#ifndef FINAI_APP_H
#define FINAI_APP_H

#include "backend/address.h"
#include "backend/health.h"
#include "backend/metrics.h"
#include "backend/options.h"
#include "base/list.h"

struct app {
	struct options options;
	struct event_base *base; /* owned */
	struct evdns_base *dns;  /* owned */
	struct address address;
	struct http *http;   /* owned */
	struct pool *pool;   /* owned */
	struct tasks *tasks; /* owned; NULL in a drain */
	struct list calls;   /* requests that wait for the database */
	struct metrics metrics;
	struct health health;
};

/* Serves until SIGTERM or SIGINT, then drains; the exit status. */
int app_run(const struct options *options);

#endif
