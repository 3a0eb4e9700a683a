/* SPDX-License-Identifier: PostgreSQL */
/*
 *   DOWN -> RESOLVING -> CONNECTING -> IDLE <-> RUNNING
 *
 * Every failure leads to DOWN and is told once: to the running batch, or else
 * to the owner (on_change), so that whoever is told may open it again. A
 * statement is prepared with its first use, in the same batch, so a schema that
 * isn't there yet costs an error and not the connection. While idle the socket
 * is watched, so that a lost server is noticed before a request needs it.
 */
#include "backend/link.h"

#include <event2/dns.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#include "backend/address.h"
#include "backend/journal.h"
#include "backend/metrics.h"
#include "backend/timer.h"
#include "base/clock.h"
#include "base/mem.h"

enum link_state { LINK_DOWN, LINK_RESOLVING, LINK_CONNECTING, LINK_IDLE, LINK_RUNNING };

enum { LINK_MAGIC = 0x664c6e6b, HOSTADDR_MAX = 64 };

struct link {
	unsigned magic;
	enum link_state state;
	enum journal_level failure_level; /* of the line that the next failure leaves */
	struct link_settings settings;
	PGconn *conn;                             /* owned */
	struct event *reading, *writing;          /* owned */
	struct event *timer;                      /* owned: the log-in's bound, and later calls */
	struct evdns_getaddrinfo_request *lookup; /* owned while RESOLVING */
	bool prepared[STATEMENT_COUNT][READ_FROM_COUNT];
	/* The batch that runs. */
	struct link_query queries[LINK_QUERIES_MAX]; /* params aren't valid any more */
	bool prepares[LINK_QUERIES_MAX];
	int query_count, query_at;
	bool is_preparing;                   /* the next result is that of query_at's Parse */
	PGresult *results[LINK_QUERIES_MAX]; /* owned */
	struct link_outcome outcome;
	link_done_fn *done;
	void *done_arg;
	uint64_t began_us;
};

static void on_socket(evutil_socket_t fd, short what, void *arg);

/* --- opening and closing --- */

static void free_events(struct link *l)
{
	if (l->reading)
		event_free(l->reading);
	if (l->writing)
		event_free(l->writing);
	l->reading = l->writing = NULL;
}

static void clear_batch(struct link *l)
{
	for (int i = 0; i < LINK_QUERIES_MAX; i++) {
		PQclear(l->results[i]);
		l->results[i] = NULL;
	}
	l->query_count = l->query_at = 0;
	l->done = NULL;
}

void link_drop(struct link *l)
{
	struct evdns_getaddrinfo_request *lookup = l->lookup;

	WEIR_CHECK_MAGIC(l, LINK_MAGIC);
	l->state = LINK_DOWN;
	l->lookup = NULL;
	if (lookup)
		evdns_getaddrinfo_cancel(lookup); /* its callback comes with EVUTIL_EAI_CANCEL */
	evtimer_del(l->timer);
	free_events(l);
	clear_batch(l);
	PQfinish(l->conn);
	l->conn = NULL;
	memset(l->prepared, 0, sizeof l->prepared);
}

/* Tells the running batch, or the owner when none runs. */
static void fail(struct link *l, const char *why)
{
	link_done_fn *done = l->state == LINK_RUNNING ? l->done : NULL;
	void *arg = l->done_arg;
	struct link_outcome outcome = { .sqlstate = "08006" };

	snprintf(outcome.message, sizeof outcome.message, "%s", why);
	journal(l->failure_level, "database_connection_lost", "{s:s s:b}", "reason", outcome.message,
	        "in_request", done != NULL);
	metrics_error(l->settings.metrics, "08006");
	link_drop(l);
	if (done)
		done(arg, l, &outcome);
	else
		l->settings.on_change(l->settings.arg, l, false);
}

static void fail_by_libpq(struct link *l)
{
	char why[sizeof l->outcome.message];

	snprintf(why, sizeof why, "%s", PQerrorMessage(l->conn));
	fail(l, why);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct link *l = arg;

	(void)fd, (void)what;
	WEIR_CHECK_MAGIC(l, LINK_MAGIC);
	if (l->state == LINK_DOWN)
		l->settings.on_change(l->settings.arg, l, false);
	else
		fail(l, "the log-in took too long");
}

struct link *link_create(const struct link_settings *settings)
{
	struct link *l = mem_zalloc(sizeof *l);

	l->magic = LINK_MAGIC;
	l->settings = *settings;
	l->timer = evtimer_new(settings->base, on_timer, l);
	return l;
}

void link_destroy(struct link *l)
{
	if (!l)
		return;
	link_drop(l);
	event_free(l->timer);
	l->magic = 0;
	mem_free(l);
}

/* What libpq waits for; its socket may be another one after each poll. */
static void watch(struct link *l, bool for_writing)
{
	int fd = PQsocket(l->conn);

	if (!l->reading || event_get_fd(l->reading) != fd) {
		free_events(l);
		l->reading = event_new(l->settings.base, fd, EV_READ | EV_PERSIST, on_socket, l);
		l->writing = event_new(l->settings.base, fd, EV_WRITE, on_socket, l);
	}
	event_add(l->reading, NULL);
	if (for_writing)
		event_add(l->writing, NULL);
}

static void become_up(struct link *l)
{
	evtimer_del(l->timer);
	if (PQsetnonblocking(l->conn, 1) != 0 || PQenterPipelineMode(l->conn) != 1) {
		fail_by_libpq(l);
		return;
	}
	l->state = LINK_IDLE;
	l->failure_level = JOURNAL_WARN;
	watch(l, false);
	l->settings.on_change(l->settings.arg, l, true);
}

static void poll_connect(struct link *l)
{
	switch (PQconnectPoll(l->conn)) {
	case PGRES_POLLING_READING:
		watch(l, false);
		break;
	case PGRES_POLLING_WRITING:
		watch(l, true);
		break;
	case PGRES_POLLING_OK:
		become_up(l);
		break;
	default:
		fail_by_libpq(l);
	}
}

static void ignore_notice(void *arg, const PGresult *result)
{
	(void)arg, (void)result;
}

/* From link_open nothing may be told at once, so a failure waits for the timer. */
static void start_connect(struct link *l, const char *hostaddr)
{
	const char *names[ADDRESS_PARAMS_MAX + 2], *values[ADDRESS_PARAMS_MAX + 2];

	address_fill(l->settings.address, hostaddr, names, values);
	l->conn = PQconnectStartParams(names, values, 0);
	l->state = LINK_CONNECTING;
	if (!l->conn || PQstatus(l->conn) == CONNECTION_BAD) {
		journal(l->failure_level, "database_connect_failed", "{s:s}", "reason",
		        l->conn ? PQerrorMessage(l->conn) : "out of memory");
		link_drop(l);
		timer_set(l->timer, 0);
		return;
	}
	PQsetNoticeReceiver(l->conn, ignore_notice, NULL);
	watch(l, true);
}

static void on_resolved(int result, struct evutil_addrinfo *found, void *arg)
{
	struct link *l = arg;
	char text[HOSTADDR_MAX] = "";

	if (result == EVUTIL_EAI_CANCEL)
		return; /* the link may be gone */
	WEIR_CHECK_MAGIC(l, LINK_MAGIC);
	l->lookup = NULL;
	if (found && found->ai_family == AF_INET)
		evutil_inet_ntop(AF_INET, &((struct sockaddr_in *)(void *)found->ai_addr)->sin_addr, text,
		                 sizeof text);
	else if (found && found->ai_family == AF_INET6)
		evutil_inet_ntop(AF_INET6, &((struct sockaddr_in6 *)(void *)found->ai_addr)->sin6_addr,
		                 text, sizeof text);
	if (found)
		evutil_freeaddrinfo(found);
	if (*text) {
		start_connect(l, text);
		return;
	}
	journal(l->failure_level, "database_name_unknown", "{s:s s:s}", "host",
	        l->settings.address->host, "reason", evutil_gai_strerror(result));
	link_drop(l);
	timer_set(l->timer, 0);
}

void link_open(struct link *l, bool is_repeat)
{
	uint32_t ms = l->settings.connect_timeout_ms;
	struct evutil_addrinfo hints = { .ai_family = AF_UNSPEC,
		                             .ai_socktype = SOCK_STREAM,
		                             .ai_flags = EVUTIL_AI_ADDRCONFIG };

	WEIR_CHECK_MAGIC(l, LINK_MAGIC);
	WEIR_ASSERT(l->state == LINK_DOWN);
	l->failure_level = is_repeat ? JOURNAL_DEBUG : JOURNAL_WARN;
	timer_set(l->timer, ms);
	if (!l->settings.address->host) {
		start_connect(l, NULL);
		return;
	}
	l->state = LINK_RESOLVING;
	/* NULL also when it was answered from /etc/hosts, at once, by the callback. */
	l->lookup =
		evdns_getaddrinfo(l->settings.dns, l->settings.address->host, NULL, &hints, on_resolved, l);
}

/* --- a batch --- */

bool link_is_up(const struct link *l)
{
	return l->state == LINK_IDLE || l->state == LINK_RUNNING;
}

bool link_in_transaction(const struct link *l)
{
	return link_is_up(l) && PQtransactionStatus(l->conn) != PQTRANS_IDLE;
}

static int send_query(struct link *l, const struct link_query *q, bool *prepares)
{
	const char *text = statement_text(q->statement, q->from);
	const char *name = statement_prepared_name(q->statement, q->from);

	*prepares = false;
	if (*q->comment) {
		size_t size = strlen(text) + strlen(q->comment) + 1;
		char *with_comment = mem_alloc(size);
		int ok;

		snprintf(with_comment, size, "%s%s", text, q->comment);
		ok = PQsendQueryParams(l->conn, with_comment, q->param_count, NULL, q->params, NULL, NULL,
		                       0);
		mem_free(with_comment);
		return ok;
	}
	if (!l->prepared[q->statement][q->from]) {
		if (!PQsendPrepare(l->conn, name, text, 0, NULL))
			return 0;
		*prepares = true;
	}
	return PQsendQueryPrepared(l->conn, name, q->param_count, q->params, NULL, NULL, 0);
}

static void flush(struct link *l)
{
	int rc = PQflush(l->conn);

	if (rc < 0)
		fail_by_libpq(l);
	else
		watch(l, rc > 0);
}

void link_run(struct link *l, const struct link_query *queries, int count, link_done_fn *done,
              void *arg)
{
	bool is_sent = true;

	WEIR_CHECK_MAGIC(l, LINK_MAGIC);
	WEIR_ASSERT(l->state == LINK_IDLE && count > 0 && count <= LINK_QUERIES_MAX);
	l->state = LINK_RUNNING;
	l->done = done;
	l->done_arg = arg;
	l->query_count = count;
	l->query_at = 0;
	l->began_us = clock_monotonic_us();
	memset(&l->outcome, 0, sizeof l->outcome);
	for (int i = 0; i < count && is_sent; i++) {
		l->queries[i] = queries[i];
		is_sent = send_query(l, &queries[i], &l->prepares[i]);
	}
	l->is_preparing = l->prepares[0];
	/* What can't be sent shows when the socket is read, from the loop. */
	if (is_sent && PQpipelineSync(l->conn) == 1)
		PQflush(l->conn);
	watch(l, true);
}

static void note_error(struct link *l, const PGresult *result)
{
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	if (*l->outcome.sqlstate)
		return; /* the first one is the cause */
	snprintf(l->outcome.sqlstate, sizeof l->outcome.sqlstate, "%s", sqlstate ? sqlstate : "08006");
	snprintf(l->outcome.message, sizeof l->outcome.message, "%s", message ? message : "");
	metrics_error(l->settings.metrics, l->outcome.sqlstate);
}

static void take_result(struct link *l, PGresult *result)
{
	const struct link_query *q = &l->queries[l->query_at];
	ExecStatusType status = PQresultStatus(result);
	bool is_good = status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;

	if (!is_good) {
		if (status != PGRES_PIPELINE_ABORTED)
			note_error(l, result);
		PQclear(result);
	} else if (l->is_preparing) {
		l->prepared[q->statement][q->from] = true;
		PQclear(result);
	} else {
		metrics_query(l->settings.metrics, q->statement, clock_monotonic_us() - l->began_us);
		if (!*l->outcome.sqlstate)
			l->outcome.count = l->query_at + 1;
		PQclear(l->results[l->query_at]);
		l->results[l->query_at] = result;
	}
}

/* The NULL behind the results of one command. */
static void next_command(struct link *l)
{
	if (l->is_preparing) {
		l->is_preparing = false;
		return;
	}
	if (l->query_at + 1 < l->query_count) {
		l->query_at++;
		l->is_preparing = l->prepares[l->query_at];
	}
}

static void finish_batch(struct link *l)
{
	link_done_fn *done = l->done;
	struct link_outcome outcome = l->outcome;
	PGresult *results[LINK_QUERIES_MAX];

	memcpy(results, l->results, sizeof results);
	memset(l->results, 0, sizeof l->results);
	for (int i = 0; i < outcome.count; i++)
		outcome.results[i] = results[i];
	l->state = LINK_IDLE;
	l->done = NULL;
	done(l->done_arg, l, &outcome);
	for (int i = 0; i < LINK_QUERIES_MAX; i++)
		PQclear(results[i]);
}

static void read_results(struct link *l)
{
	while (l->state == LINK_RUNNING && !PQisBusy(l->conn)) {
		PGresult *result = PQgetResult(l->conn);

		if (PQstatus(l->conn) == CONNECTION_BAD) {
			PQclear(result);
			fail_by_libpq(l);
			return;
		}
		if (!result) {
			next_command(l);
		} else if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
			PQclear(result);
			finish_batch(l);
			return;
		} else {
			take_result(l, result);
		}
	}
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct link *l = arg;

	(void)fd;
	WEIR_CHECK_MAGIC(l, LINK_MAGIC);
	if (l->state == LINK_CONNECTING) {
		poll_connect(l);
		return;
	}
	if ((what & EV_READ) && !PQconsumeInput(l->conn)) {
		/* What the server said last, 57P01 for one, may be there still. */
		fail_by_libpq(l);
		return;
	}
	if (what & EV_WRITE)
		flush(l);
	if (l->state == LINK_RUNNING)
		read_results(l);
	else if (l->state == LINK_IDLE && PQstatus(l->conn) == CONNECTION_BAD)
		fail_by_libpq(l);
}
