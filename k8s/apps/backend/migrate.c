/* SPDX-License-Identifier: PostgreSQL */
/*
 * The transaction first takes an advisory lock of its own, so that pods that
 * start together come one after the other; it is let go with the transaction,
 * so it needs no session and works through a transaction pooler. The second pod
 * then finds the versions that the first has written and does nothing. After a
 * failure that a repeat may cure (rules.h) the whole is begun again.
 */
#include "backend/migrate.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/address.h"
#include "backend/journal.h"
#include "backend/rules.h"
#include "base/err.h"
#include "base/mem.h"

enum {
	FILE_SIZE_MAX = 1024 * 1024,
	WHY_MAX = 512,
	STATEMENT_TIMEOUT_MS = 60000,
	PATH_TEXT_MAX = 4096,
	PAUSE_US = 1000000
};

/* The lock's number: "finai" in ASCII. */
#define LOCK_TEXT "SELECT pg_advisory_xact_lock(439855505769)"

struct failure {
	char sqlstate[6]; /* empty: not the database's */
	char reason[WHY_MAX];
};

static int run(PGconn *conn, const char *text, PGresult **rows, struct failure *f)
{
	PGresult *result = PQexec(conn, text);
	ExecStatusType status = PQresultStatus(result);
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
		if (rows)
			*rows = result;
		else
			PQclear(result);
		return 0;
	}
	snprintf(f->sqlstate, sizeof f->sqlstate, "%s", sqlstate ? sqlstate : "08006");
	snprintf(f->reason, sizeof f->reason, "%s", PQerrorMessage(conn));
	PQclear(result);
	return WEIR_ERR_IO;
}

/* NULL, and the reason. */
static char *read_file(const char *folder, const char *name, struct failure *f)
{
	char path[PATH_TEXT_MAX];
	struct stat st;
	char *text = NULL;
	int fd;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size > FILE_SIZE_MAX) {
		snprintf(f->reason, sizeof f->reason, "%s: %s", name,
		         fd < 0 ? strerror(errno) : "not readable, or longer than 1 MiB");
	} else {
		text = mem_zalloc((size_t)st.st_size + 1);
		if (read(fd, text, (size_t)st.st_size) != st.st_size) {
			snprintf(f->reason, sizeof f->reason, "%s: cut short", name);
			mem_free(text);
			text = NULL;
		}
	}
	if (fd >= 0)
		close(fd);
	return text;
}

/* "001-schema.sql" -> 1; 0: another file. */
static int version_of(const char *name)
{
	size_t len = strlen(name);

	if (len < 9 || strspn(name, "0123456789") != 3 || name[3] != '-' ||
	    strcmp(name + len - 4, ".sql") != 0)
		return 0;
	return (name[0] - '0') * 100 + (name[1] - '0') * 10 + (name[2] - '0');
}

static int is_migration(const struct dirent *d)
{
	return version_of(d->d_name) > 0;
}

static int apply_file(PGconn *conn, const char *folder, const char *name, struct failure *f)
{
	char note[WHY_MAX], *quoted, *text = read_file(folder, name, f);
	int rc = text ? run(conn, text, NULL, f) : WEIR_ERR_IO;

	mem_free(text);
	if (rc < 0)
		return rc;
	quoted = PQescapeLiteral(conn, name, strlen(name));
	snprintf(note, sizeof note, "INSERT INTO finai.migrations (version, name) VALUES (%d, %s)",
	         version_of(name), quoted ? quoted : "''");
	PQfreemem(quoted);
	rc = run(conn, note, NULL, f);
	if (rc == 0)
		journal(JOURNAL_INFO, "migrated", "{s:s}", "file", name);
	return rc;
}

static int last_version(PGconn *conn, int *version, struct failure *f)
{
	PGresult *rows;
	int rc = run(conn, "SELECT coalesce(max(version), 0) FROM finai.migrations", &rows, f);

	if (rc < 0)
		return rc;
	*version = (int)strtol(PQgetvalue(rows, 0, 0), NULL, 10);
	PQclear(rows);
	return 0;
}

static int apply_all(PGconn *conn, const char *folder, struct failure *f)
{
	struct dirent **names;
	int version, count, rc = last_version(conn, &version, f);

	if (rc < 0)
		return rc;
	count = scandir(folder, &names, is_migration, alphasort);
	if (count <= 0) {
		snprintf(f->reason, sizeof f->reason, "FINAI_SQL_DIR: no NNN-name.sql in %s", folder);
		return WEIR_ERR_CONFIG;
	}
	for (int i = 0; i < count; i++) {
		if (rc == 0 && version_of(names[i]->d_name) > version)
			rc = apply_file(conn, folder, names[i]->d_name, f);
		free(names[i]);
	}
	free(names);
	return rc;
}

/*
 * A pooled server may remember from before the lock was granted that there is no such schema, and
 * then IF NOT EXISTS fails with 23505: it hears of what others committed when it locks a relation.
 */
#define HEAR_TEXT "SELECT FROM pg_catalog.pg_namespace LIMIT 1"

static int in_transaction(PGconn *conn, const char *folder, struct failure *f)
{
	static const char *const before[] = { "BEGIN", LOCK_TEXT, HEAR_TEXT,
		                                  "CREATE SCHEMA IF NOT EXISTS finai",
		                                  "CREATE TABLE IF NOT EXISTS finai.migrations (version "
		                                  "integer PRIMARY KEY, name text NOT NULL,"
		                                  " applied_at timestamptz NOT NULL DEFAULT now())" };

	for (size_t i = 0; i < WEIR_COUNTOF(before); i++) {
		if (run(conn, before[i], NULL, f) < 0)
			return WEIR_ERR_IO;
	}
	if (apply_all(conn, folder, f) < 0)
		return WEIR_ERR_IO;
	return run(conn, "COMMIT", NULL, f);
}

static void ignore_notice(void *arg, const PGresult *result)
{
	(void)arg, (void)result;
}

static int migrate_once(const struct address *address, const char *folder, struct failure *f)
{
	const char *names[ADDRESS_PARAMS_MAX + 2], *values[ADDRESS_PARAMS_MAX + 2];
	PGconn *conn;
	int rc;

	memset(f, 0, sizeof *f);
	address_fill(address, NULL, names, values);
	conn = PQconnectdbParams(names, values, 0);
	if (PQstatus(conn) != CONNECTION_OK) {
		snprintf(f->sqlstate, sizeof f->sqlstate, "08001");
		snprintf(f->reason, sizeof f->reason, "%s", PQerrorMessage(conn));
		PQfinish(conn);
		return WEIR_ERR_IO;
	}
	PQsetNoticeReceiver(conn, ignore_notice, NULL);
	rc = in_transaction(conn, folder, f);
	PQfinish(conn);
	return rc;
}

static bool may_cure(const struct failure *f)
{
	enum next_step next = *f->sqlstate ? rules_after_error(f->sqlstate) : NEXT_BUG;

	return next == NEXT_RETRY || next == NEXT_BUSY;
}

int migrate_run(const struct options *options)
{
	struct address address;
	struct failure f = { 0 };
	int rc = address_init(&address, options->database_url, STATEMENT_TIMEOUT_MS, f.reason,
	                      sizeof f.reason);

	for (uint32_t i = 0; rc == 0; i++) {
		rc = migrate_once(&address, options->sql_dir, &f);
		if (rc == 0) {
			journal(JOURNAL_INFO, "schema_ready", NULL);
			break;
		}
		if (i == options->retry_max || !may_cure(&f))
			break;
		journal(JOURNAL_WARN, "migrate_repeats", "{s:s s:s}", "sqlstate", f.sqlstate, "reason",
		        f.reason);
		usleep(PAUSE_US);
		rc = 0;
	}
	address_fini(&address);
	if (rc == 0)
		return EXIT_SUCCESS;
	journal(JOURNAL_ERROR, "migrate_failed", "{s:s s:s}", "sqlstate", f.sqlstate, "reason",
	        f.reason);
	return EXIT_FAILURE;
}
