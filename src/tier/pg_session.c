/* SPDX-License-Identifier: PostgreSQL */
/*
 * Asynchronous libpq behind pg_session.h; the only file that includes it.
 *
 *   DOWN -> RESOLVING -> CONNECTING -> IDLE <-> RUNNING
 *
 * Every failure goes to DOWN and is told once (by way of FAILING when it is
 * found inside pg_session_query). Host names are looked up by the
 * resolver, since libpq would block on them. While idle the socket is watched,
 * so that a dying server is noticed at once.
 */
#include "tier/pg_session.h"

#include <event2/event.h>
#include <libpq-fe.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "config/hostlist.h"
#include "net/loop.h"
#include "net/resolver.h"

enum session_state {
	SESSION_DOWN,
	SESSION_RESOLVING,
	SESSION_CONNECTING,
	SESSION_IDLE,
	SESSION_RUNNING,
	SESSION_FAILING, /* the failure is told at the next tick */
};

enum { SESSION_MAGIC = 0x70677365, REASON_MAX = 256, ADDR_MAX = 64, PARAMS_MAX = 16 };

struct pg_session {
	unsigned magic;
	enum session_state state;
	struct pg_session_net net;
	const struct pg_session_ops *ops; /* borrowed: static */
	void *arg;
	char *host, *user, *password, *dbname;            /* owned */
	char *sslmode, *sslrootcert, *sslcert, *sslkey;   /* owned */
	uint16_t port;
	unsigned turn;                 /* among the hosts: the next one after a failure */
	struct hostlist_item at;       /* whose turn it was at the last connect */
	bool keeps_search_path;
	bool was_refused;
	char *sql;                     /* owned: waits for the connection */
	char *value;                   /* owned: of $1; NULL: no parameter */
	PGconn *conn;                  /* owned */
	PGresult *result;              /* owned: the last one of the running query */
	struct event *event;           /* owned */
	struct loop_timer timer;
	struct resolver_query *lookup; /* owned while RESOLVING */
	char failure[REASON_MAX];      /* told from the timer: never from inside pg_session_query */
};

struct pg_rows {
	PGresult *result; /* borrowed for the callback */
};

static void on_socket(evutil_socket_t fd, short what, void *arg);

struct pg_session *pg_session_create(const struct pg_session_net *net,
				     const struct pg_session_target *target,
				     const struct pg_session_ops *ops, void *arg)
{
	struct pg_session *s = mem_zalloc(sizeof *s);

	s->magic = SESSION_MAGIC;
	s->net = *net;
	s->ops = ops;
	s->arg = arg;
	s->host = mem_strdup(target->host);
	s->port = target->port;
	s->user = mem_strdup(target->user);
	s->password = mem_strdup(target->password);
	s->dbname = mem_strdup(target->dbname);
	s->sslmode = mem_strdup(target->sslmode);
	s->sslrootcert = mem_strdup(target->sslrootcert);
	s->sslcert = mem_strdup(target->sslcert);
	s->sslkey = mem_strdup(target->sslkey);
	s->keeps_search_path = target->keeps_search_path;
	return s;
}

/* Frees everything of the connection; the session is DOWN then. */
static void session_drop(struct pg_session *s)
{
	if (s->lookup)
		resolver_cancel(s->lookup);
	s->lookup = NULL;
	loop_timer_cancel(&s->timer);
	if (s->event)
		event_free(s->event);
	s->event = NULL;
	PQclear(s->result);
	s->result = NULL;
	PQfinish(s->conn);
	s->conn = NULL;
	mem_free(s->sql);
	s->sql = NULL;
	mem_free(s->value);
	s->value = NULL;
	s->state = SESSION_DOWN;
}

void pg_session_destroy(struct pg_session *s)
{
	if (s == NULL)
		return;
	WEIR_CHECK_MAGIC(s, SESSION_MAGIC);
	session_drop(s);
	mem_wipe(s->password, strlen(s->password));
	char *texts[] = { s->host, s->user, s->password, s->dbname,
			  s->sslmode, s->sslrootcert, s->sslcert, s->sslkey };
	for (size_t i = 0; i < WEIR_COUNTOF(texts); i++)
		mem_free(texts[i]);
	s->magic = 0;
	mem_free(s);
}

bool pg_session_is_for(const struct pg_session *s, const struct pg_session_target *t)
{
	const char *const pairs[][2] = {
		{ s->host, t->host }, { s->user, t->user }, { s->password, t->password },
		{ s->dbname, t->dbname }, { s->sslmode, t->sslmode },
		{ s->sslrootcert, t->sslrootcert }, { s->sslcert, t->sslcert },
		{ s->sslkey, t->sslkey },
	};

	for (size_t i = 0; i < WEIR_COUNTOF(pairs); i++)
		if (strcmp(pairs[i][0], pairs[i][1]) != 0)
			return false;
	return s->port == t->port;
}

bool pg_session_is_busy(const struct pg_session *s)
{
	return s->state != SESSION_DOWN && s->state != SESSION_IDLE;
}

/* Ends the connection and tells why (reason may point into it). A caller's last act. */
static void session_fail(struct pg_session *s, const char *reason)
{
	char text[REASON_MAX];

	snprintf(text, sizeof text, "%.*s", (int)strcspn(reason, "\n"), reason);
	s->turn++;
	session_drop(s);
	s->ops->on_failed(s->arg, text);
}

static void on_timeout(struct loop_timer *timer)
{
	struct pg_session *s = (struct pg_session *)(void *)((char *)timer -
							     offsetof(struct pg_session, timer));

	WEIR_CHECK_MAGIC(s, SESSION_MAGIC);
	session_fail(s, s->state == SESSION_FAILING ? s->failure : "no answer in time");
}

/* For failures found while pg_session_query is still on the stack. */
static void session_fail_later(struct pg_session *s, const char *reason)
{
	snprintf(s->failure, sizeof s->failure, "%s", reason);
	session_drop(s);
	s->state = SESSION_FAILING;
	loop_timer_arm(s->net.loop, &s->timer, 0, on_timeout);
}

static void session_watch(struct pg_session *s, short what)
{
	if (s->event)
		event_free(s->event);
	s->event = event_new(loop_event_base(s->net.loop), PQsocket(s->conn),
			     (short)(what | EV_PERSIST), on_socket, s);
	WEIR_ASSERT(s->event != NULL);
	event_add(s->event, NULL);
}

/* Libpq's options for this target; the texts stay the session's. */
static PGconn *start_connection(const struct pg_session *s, const char *hostaddr)
{
	char port[8];
	const char *names[PARAMS_MAX] = {
		"host", "hostaddr", "port", "user", "password", "dbname", "sslmode",
		"sslrootcert", "sslcert", "sslkey", "application_name", "client_encoding",
		"gssencmode", "options", NULL,
	};
	const char *values[PARAMS_MAX] = {
		s->at.host, hostaddr, port, s->user, s->password, s->dbname, s->sslmode,
		s->sslrootcert, s->sslcert, s->sslkey, "pgweir-probe", "UTF8", "disable",
		s->keeps_search_path ?
			"-c default_transaction_read_only=on" :
			"-c search_path=pg_catalog -c default_transaction_read_only=on",
		NULL,
	};

	snprintf(port, sizeof port, "%u", (unsigned)s->at.port);
	return PQconnectStartParams(names, values, 0);
}

static void ignore_notice(void *arg, const PGresult *result)
{
	(void)arg;
	(void)result;
}

static bool session_connect(struct pg_session *s, const char *hostaddr)
{
	s->conn = start_connection(s, hostaddr);
	if (s->conn == NULL || PQstatus(s->conn) == CONNECTION_BAD)
		return false;
	PQsetNoticeReceiver(s->conn, ignore_notice, NULL);
	s->state = SESSION_CONNECTING;
	session_watch(s, EV_WRITE);
	return true;
}

/* The address of a resolved host as text; empty for Unix sockets, which go by the host. */
static void address_text(const struct resolved *resolved, char *out, size_t size)
{
	const struct sockaddr *addr = (const struct sockaddr *)(const void *)&resolved->at[0].addr;

	out[0] = '\0';
	if (addr->sa_family != AF_UNIX &&
	    getnameinfo(addr, resolved->at[0].len, out, (socklen_t)size, NULL, 0, NI_NUMERICHOST) != 0)
		out[0] = '\0';
}

static void on_resolved(void *arg, enum weir_err err, const struct resolved *resolved)
{
	struct pg_session *s = arg;
	char addr[ADDR_MAX];

	WEIR_CHECK_MAGIC(s, SESSION_MAGIC);
	s->lookup = NULL;
	if (err != WEIR_OK || resolved->count == 0) {
		session_fail(s, "host name not found");
		return;
	}
	address_text(resolved, addr, sizeof addr);
	if (!session_connect(s, addr))
		session_fail(s, s->conn ? PQerrorMessage(s->conn) : "out of memory");
}

static void session_resolve(struct pg_session *s)
{
	struct resolved resolved;
	char addr[ADDR_MAX];
	enum weir_err err;

	hostlist_pick(s->host, s->port, s->turn, &s->at);
	err = resolver_try(s->net.resolver, s->at.host, s->at.port, &resolved);
	if (err == WEIR_ERR_AGAIN) {
		s->state = SESSION_RESOLVING;
		s->lookup = resolver_ask(s->net.resolver, s->net.mailbox, s->at.host, s->at.port,
					 on_resolved, s);
		return;
	}
	if (err != WEIR_OK || resolved.count == 0) {
		session_fail_later(s, "host name not found");
		return;
	}
	address_text(&resolved, addr, sizeof addr);
	if (!session_connect(s, addr))
		session_fail_later(s, s->conn ? PQerrorMessage(s->conn) : "out of memory");
}

static bool session_send(struct pg_session *s)
{
	const char *const values[] = { s->value };

	s->state = SESSION_RUNNING;
	if (!(s->value ? PQsendQueryParams(s->conn, s->sql, 1, NULL, values, NULL, NULL, 0) :
			 PQsendQuery(s->conn, s->sql)))
		return false;
	session_watch(s, PQflush(s->conn) == 1 ? EV_READ | EV_WRITE : EV_READ);
	return true;
}

void pg_session_query(struct pg_session *s, const char *sql, uint64_t timeout_us)
{
	pg_session_query_with(s, sql, NULL, timeout_us);
}

void pg_session_query_with(struct pg_session *s, const char *sql, const char *value,
			   uint64_t timeout_us)
{
	WEIR_CHECK_MAGIC(s, SESSION_MAGIC);
	WEIR_ASSERT(!pg_session_is_busy(s));
	s->was_refused = false;
	mem_free(s->sql);
	mem_free(s->value);
	s->sql = mem_strdup(sql);
	s->value = value ? mem_strdup(value) : NULL;
	loop_timer_cancel(&s->timer);
	loop_timer_arm(s->net.loop, &s->timer, timeout_us, on_timeout);
	if (s->state == SESSION_DOWN)
		session_resolve(s);
	else if (!session_send(s))
		session_fail_later(s, PQerrorMessage(s->conn));
}

static void on_connecting(struct pg_session *s)
{
	switch (PQconnectPoll(s->conn)) {
	case PGRES_POLLING_READING:
		session_watch(s, EV_READ);
		return;
	case PGRES_POLLING_WRITING:
		session_watch(s, EV_WRITE);
		return;
	case PGRES_POLLING_OK:
		if (PQsetnonblocking(s->conn, 1) == 0 && session_send(s))
			return;
		break;
	case PGRES_POLLING_FAILED:
	case PGRES_POLLING_ACTIVE:
		break;
	}
	session_fail(s, PQerrorMessage(s->conn));
}

static bool is_refusal(const char *sqlstate)
{
	static const char *const passing[] = { "08", "53", "57" };

	for (size_t i = 0; sqlstate && i < WEIR_COUNTOF(passing); i++)
		if (strncmp(sqlstate, passing[i], 2) == 0)
			return false;
	return sqlstate != NULL;
}

bool pg_session_was_refused(const struct pg_session *s)
{
	return s->was_refused;
}

static void take_notifications(struct pg_session *s)
{
	PGnotify *n;

	while ((n = PQnotifies(s->conn)) != NULL) {
		struct pg_notification told = { n->relname, n->extra, n->be_pid };

		if (s->ops->on_notification)
			s->ops->on_notification(s->arg, &told);
		PQfreemem(n);
	}
}

/*
 * All results are in: to IDLE, then the callback, which may start the next query. What was notified
 * right behind the answer has come with it, and the socket won't tell of it again.
 */
static void session_finish(struct pg_session *s)
{
	struct pg_rows rows = { s->result };

	if (PQresultStatus(s->result) != PGRES_TUPLES_OK) {
		s->was_refused = is_refusal(PQresultErrorField(s->result, PG_DIAG_SQLSTATE));
		session_fail(s, PQresultErrorMessage(s->result));
		return;
	}
	s->result = NULL;
	loop_timer_cancel(&s->timer);
	s->state = SESSION_IDLE;
	take_notifications(s);
	s->ops->on_rows(s->arg, &rows);
	PQclear(rows.result);
}

static void on_running(struct pg_session *s, short what)
{
	PGresult *result;

	if ((what & EV_WRITE) && PQflush(s->conn) == 0)
		session_watch(s, EV_READ);
	if (!(what & EV_READ))
		return;
	if (!PQconsumeInput(s->conn)) {
		session_fail(s, PQerrorMessage(s->conn));
		return;
	}
	take_notifications(s);
	while (!PQisBusy(s->conn)) {
		result = PQgetResult(s->conn);
		if (result == NULL) {
			session_finish(s);
			return;
		}
		PQclear(s->result);
		s->result = result;
	}
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct pg_session *s = arg;

	(void)fd;
	WEIR_CHECK_MAGIC(s, SESSION_MAGIC);
	switch (s->state) {
	case SESSION_CONNECTING:
		on_connecting(s);
		return;
	case SESSION_RUNNING:
		on_running(s, what);
		return;
	case SESSION_IDLE:
		/* Parameter changes and notices are fine; the end isn't. */
		if (!PQconsumeInput(s->conn) || PQstatus(s->conn) == CONNECTION_BAD)
			session_fail(s, "connection ended");
		else
			take_notifications(s);
		return;
	case SESSION_DOWN:
	case SESSION_RESOLVING:
	case SESSION_FAILING:
		break;
	}
}

void pg_session_close(struct pg_session *s)
{
	WEIR_CHECK_MAGIC(s, SESSION_MAGIC);
	WEIR_ASSERT(!pg_session_is_busy(s));
	session_drop(s);
}

int pg_rows_count(const struct pg_rows *rows)
{
	return PQntuples(rows->result);
}

const char *pg_rows_text(const struct pg_rows *rows, int row, int column)
{
	if (row < 0 || row >= PQntuples(rows->result) || column < 0 ||
	    column >= PQnfields(rows->result) || PQgetisnull(rows->result, row, column))
		return NULL;
	return PQgetvalue(rows->result, row, column);
}
