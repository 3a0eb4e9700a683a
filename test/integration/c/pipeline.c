/* SPDX-License-Identifier: PostgreSQL */
/*
 * libpq's pipeline mode against the server named by argv[1] (a conninfo or URI):
 * many queries before the first answer is read, named statements, an error in
 * the middle, a transaction as one batch. Prints what failed; exit status 0 when
 * nothing did.
 */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 500, CLIENTS = 8 };

static int failures;

static void expect(int ok, const char *what, PGconn *conn)
{
	if (ok)
		return;
	failures++;
	fprintf(stderr, "%s: %s\n", what, PQerrorMessage(conn));
}

static PGconn *open_conn(const char *conninfo)
{
	PGconn *conn = PQconnectdb(conninfo);

	if (PQstatus(conn) != CONNECTION_OK) {
		fprintf(stderr, "connect: %s\n", PQerrorMessage(conn));
		exit(1);
	}
	return conn;
}

static void send_int(PGconn *conn, const char *statement, int value)
{
	char text[16];
	const char *values[] = {text};

	snprintf(text, sizeof(text), "%d", value);
	expect(PQsendQueryPrepared(conn, statement, 1, values, NULL, NULL, 0), "send", conn);
}

/* The next result must be one row with this integer. */
static void expect_int(PGconn *conn, int want)
{
	PGresult *res = PQgetResult(conn);

	if (PQresultStatus(res) != PGRES_TUPLES_OK || PQntuples(res) != 1 ||
	    atoi(PQgetvalue(res, 0, 0)) != want) {
		failures++;
		fprintf(stderr, "want %d, got %s %s\n", want, PQresStatus(PQresultStatus(res)),
			PQresultErrorMessage(res));
	}
	PQclear(res);
	expect(PQgetResult(conn) == NULL, "end of a query", conn);
}

static void expect_status(PGconn *conn, ExecStatusType want, const char *what)
{
	PGresult *res = PQgetResult(conn);

	if (PQresultStatus(res) != want) {
		failures++;
		fprintf(stderr, "%s: %s %s\n", what, PQresStatus(PQresultStatus(res)),
			PQresultErrorMessage(res));
	}
	PQclear(res);
	if (want != PGRES_PIPELINE_SYNC)
		expect(PQgetResult(conn) == NULL, what, conn);
}

static void prepare(PGconn *conn, const char *name, const char *sql)
{
	PGresult *res = PQprepare(conn, name, sql, 0, NULL);

	expect(PQresultStatus(res) == PGRES_COMMAND_OK, "prepare", conn);
	PQclear(res);
}

/* One sync at the end of many executions. */
static void one_big_batch(PGconn *conn)
{
	int i;

	for (i = 0; i < BATCH; i++)
		send_int(conn, "add", i);
	expect(PQpipelineSync(conn), "sync", conn);
	for (i = 0; i < BATCH; i++)
		expect_int(conn, i + 1);
	expect_status(conn, PGRES_PIPELINE_SYNC, "sync result");
}

/* An error aborts the rest up to the sync; the next batch works. */
static void error_in_the_middle(PGconn *conn)
{
	int i;

	for (i = 3; i >= -3; i--)
		send_int(conn, "divide", i);
	expect(PQpipelineSync(conn), "sync", conn);
	send_int(conn, "add", 10);
	expect(PQpipelineSync(conn), "sync", conn);
	for (i = 3; i > 0; i--)
		expect_int(conn, 60 / i);
	expect_status(conn, PGRES_FATAL_ERROR, "division by zero");
	for (i = 0; i < 3; i++)
		expect_status(conn, PGRES_PIPELINE_ABORTED, "aborted");
	expect_status(conn, PGRES_PIPELINE_SYNC, "first sync");
	expect_int(conn, 11);
	expect_status(conn, PGRES_PIPELINE_SYNC, "second sync");
}

/* BEGIN, writes and COMMIT in one batch. */
static void transaction_as_a_batch(PGconn *conn)
{
	static const char *const texts[] = {
		"BEGIN", "CREATE TEMP TABLE IF NOT EXISTS batch(k int) ON COMMIT DROP",
		"INSERT INTO batch SELECT generate_series(1, 10)", "SELECT count(*) FROM batch",
		"COMMIT",
	};
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		expect(PQsendQueryParams(conn, texts[i], 0, NULL, NULL, NULL, NULL, 0), texts[i],
		       conn);
	expect(PQpipelineSync(conn), "sync", conn);
	for (i = 0; i < 3; i++)
		expect_status(conn, PGRES_COMMAND_OK, texts[i]);
	expect_int(conn, 10);
	expect_status(conn, PGRES_COMMAND_OK, "COMMIT");
	expect_status(conn, PGRES_PIPELINE_SYNC, "sync result");
}

/* A Flush in place of a Sync brings the answers too. */
static void flush_request(PGconn *conn)
{
	send_int(conn, "add", 1);
	expect(PQsendFlushRequest(conn), "flush request", conn);
	expect(PQflush(conn) == 0, "flush", conn);
	expect_int(conn, 2);
	send_int(conn, "add", 2);
	expect(PQpipelineSync(conn), "sync", conn);
	expect_int(conn, 3);
	expect_status(conn, PGRES_PIPELINE_SYNC, "sync result");
}

int main(int argc, char **argv)
{
	PGconn *conns[CLIENTS];
	int i;

	if (argc != 2)
		return 2;
	for (i = 0; i < CLIENTS; i++) {
		conns[i] = open_conn(argv[1]);
		prepare(conns[i], "add", "SELECT $1::int + 1");
		prepare(conns[i], "divide", "SELECT 60 / $1::int");
		expect(PQenterPipelineMode(conns[i]), "pipeline mode", conns[i]);
	}
	for (i = 0; i < CLIENTS; i++) {
		one_big_batch(conns[i]);
		error_in_the_middle(conns[i]);
		transaction_as_a_batch(conns[i]);
		flush_request(conns[i]);
	}
	for (i = 0; i < CLIENTS; i++) {
		expect(PQexitPipelineMode(conns[i]), "leaving pipeline mode", conns[i]);
		PQfinish(conns[i]);
	}
	return failures ? 1 : 0;
}
