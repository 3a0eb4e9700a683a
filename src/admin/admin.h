/* SPDX-License-Identifier: PostgreSQL */
/*
 * The console (virtual databases pgweir and pgbouncer) and the HTTP pages.
 * Control thread only: a worker that has a console client logged in posts the
 * query text here and gets a finished answer back, all messages up to
 * ReadyForQuery. Owns the windows of averages and what it saw of primaries.
 */
#ifndef WEIR_ADMIN_ADMIN_H
#define WEIR_ADMIN_ADMIN_H

#include <stdint.h>

#include "admin/source.h"
#include "base/buf.h"

struct admin;

enum admin_role { ADMIN_ROLE_NONE, ADMIN_ROLE_STATS, ADMIN_ROLE_ADMIN };

struct admin_request { /* the caller's, from admin_run until on_done */
	enum admin_role role;
	const char *sql; /* one simple Query's text; stays until on_done */
	struct buf out;  /* initialised by the caller; the answer's messages */
	void (*on_done)(struct admin_request *request); /* may run inside admin_run */
	struct admin *admin;                            /* private from here on */
	const struct admin_command *command;
	struct slice argument;
};

struct admin *admin_create(const struct admin_source *source); /* source: copied */
void admin_destroy(struct admin *a);                           /* requests must be done */
/* Once a second or so: averages, and when each cluster had its primary last. */
void admin_tick(struct admin *a, uint64_t now_us);
void admin_run(struct admin *a, struct admin_request *request);

/* Messages that a console client gets between AuthenticationOk and ReadyForQuery. */
void admin_greeting(struct buf *out);
/* The simple protocol only: what any extended message gets; Sync gets wire_ready_idle. */
void admin_refuse_extended(struct buf *out);

/* The body goes to `body`, the content type is static; returns the HTTP status. */
int admin_page(struct admin *a, const char *path, struct buf *body, const char **content_type);

#endif
