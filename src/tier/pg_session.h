/* SPDX-License-Identifier: PostgreSQL */
/*
 * pgweir's own session on a server, by asynchronous libpq: probes and catalog
 * reading. It connects at the first query, stays connected, and never blocks
 * the loop. One query at a time. The SQL is the caller's and schema-qualified;
 * the session takes no setting from any client: empty search_path (unless the
 * operator's own SQL runs there), read-only.
 * Control thread only.
 */
#ifndef WEIR_TIER_PG_SESSION_H
#define WEIR_TIER_PG_SESSION_H

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct mailbox;
struct pg_rows;
struct pg_session;
struct resolver;

struct pg_session_target { /* copied by pg_session_create */
	const char *host; /* name, address, or /folder */
	uint16_t port;
	const char *user;
	const char *password; /* empty: none */
	const char *dbname;
	const char *sslmode;  /* libpq's words */
	const char *sslrootcert, *sslcert, *sslkey; /* empty: none */
	bool keeps_search_path; /* the role's own, as auth_query's functions may need it */
};

struct pg_session_net { /* borrowed: outlives the session */
	struct loop *loop;
	struct resolver *resolver;
	struct mailbox *mailbox;
};

struct pg_notification { /* borrowed for the callback */
	const char *channel, *payload;
	int pid; /* of the backend that notified */
};

struct pg_session_ops {
	/* The query's rows, borrowed for the call. Another query may be started from inside. */
	void (*on_rows)(void *arg, const struct pg_rows *rows);
	/* The query failed, or an idle connection ended. The next query connects anew. */
	void (*on_failed)(void *arg, const char *reason);
	/* NULL: not wanted. Mustn't start a query. */
	void (*on_notification)(void *arg, const struct pg_notification *n);
};

struct pg_session *pg_session_create(const struct pg_session_net *net,
				     const struct pg_session_target *target,
				     const struct pg_session_ops *ops, void *arg);
void pg_session_destroy(struct pg_session *s); /* not from inside its callbacks */
/* It goes there, by the same credentials. */
bool pg_session_is_for(const struct pg_session *s, const struct pg_session_target *target);
bool pg_session_is_busy(const struct pg_session *s);
/* Not while busy. Answers through ops, never from inside; timeout_us is for connecting too. */
void pg_session_query(struct pg_session *s, const char *sql, uint64_t timeout_us);
/* The same with a text for $1, by the extended protocol. */
void pg_session_query_with(struct pg_session *s, const char *sql, const char *value,
			   uint64_t timeout_us);

/* Of the last failure, from inside on_failed: the server refused the query itself (its SQLSTATE
 * isn't of a lost connection, a shut-down or a lack of room), so that asking again is in vain. */
bool pg_session_was_refused(const struct pg_session *s);

/* Drops an idle connection; also from inside on_rows. The next query connects anew. */
void pg_session_close(struct pg_session *s);

int pg_rows_count(const struct pg_rows *rows);
/* NULL: SQL null, or no such row or column. */
const char *pg_rows_text(const struct pg_rows *rows, int row, int column);

#endif
