/* SPDX-License-Identifier: PostgreSQL */
/*
 * The catalog reader, see catalog_reader.h. One reading is the fingerprint and
 * then a chain of queries, each started when the one before has answered, in one
 * transaction with one snapshot: parts of it must not be older than others. A
 * change in the middle of a reading shows at the next one.
 */
#include "tier/catalog_reader.h"

#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/loop.h"
#include "tier/catalog_build.h"
#include "tier/catalog_sql.h"

enum {
	READER_MAGIC = 0x63617472,
	CATALOG_PERIOD_US = 30 * 1000 * 1000,
	STALE_PAUSE_US = 50 * 1000,   /* DDL comes in bursts */
	RETRY_FIRST_US = 1000 * 1000, /* doubled with each failure */
	RETRY_MAX_US = 60 * 1000 * 1000,
	QUERY_TIMEOUT_US = 30 * 1000 * 1000,
	FINGERPRINT_MAX = 512,
};

struct catalog_reader {
	unsigned magic;
	char *name;                          /* owned */
	struct pg_session_net net;
	const struct catalog_reader_ops *ops; /* borrowed: static */
	void *arg;
	struct pg_session *session;          /* owned; NULL: no target */
	struct loop_timer timer;
	struct catalog_builder *builder;     /* owned while a reading runs */
	size_t step;                         /* of catalog_queries */
	bool is_stale;                       /* read again after the present reading */
	uint64_t retry_us;                   /* after the next failure; 0: none so far, tell of it */
	uint64_t started_us;
	char fingerprint[FINGERPRINT_MAX];   /* of the last whole reading; empty: none */
	char next_fingerprint[FINGERPRINT_MAX];
};

static void on_timer(struct loop_timer *timer)
{
	struct catalog_reader *r = (struct catalog_reader *)(void *)((char *)timer -
								     offsetof(struct catalog_reader, timer));

	WEIR_CHECK_MAGIC(r, READER_MAGIC);
	if (r->session == NULL || pg_session_is_busy(r->session))
		return;
	r->is_stale = false;
	r->started_us = clock_monotonic_us();
	pg_session_query(r->session, catalog_fingerprint_sql, QUERY_TIMEOUT_US);
}

static void arm(struct catalog_reader *r, uint64_t delay_us)
{
	loop_timer_cancel(&r->timer);
	loop_timer_arm(r->net.loop, &r->timer, delay_us, on_timer);
}

/* Not kept connected meanwhile: DROP DATABASE and templates want no session there. */
static void reading_over(struct catalog_reader *r)
{
	pg_session_close(r->session);
	arm(r, r->is_stale ? STALE_PAUSE_US : CATALOG_PERIOD_US);
}

static void on_fingerprint(struct catalog_reader *r, const struct pg_rows *rows)
{
	const char *text = pg_rows_text(rows, 0, 0);
	size_t len = text ? strlen(text) : 0;

	if (len == 0 || len >= sizeof r->next_fingerprint)
		len = 0; /* always read */
	memcpy(r->next_fingerprint, len ? text : "", len);
	r->next_fingerprint[len] = '\0';
	if (len && strcmp(r->fingerprint, r->next_fingerprint) == 0) {
		reading_over(r);
		return;
	}
	r->builder = catalog_builder_create();
	r->step = 0;
	pg_session_query(r->session, catalog_queries[0].sql, QUERY_TIMEOUT_US);
}

static void on_complete(struct catalog_reader *r)
{
	struct catalog *catalog = catalog_builder_finish(&r->builder);

	memcpy(r->fingerprint, r->next_fingerprint, sizeof r->fingerprint);
	r->retry_us = 0;
	log_info("catalog_read", "database=%s generation=%llu took_us=%llu", r->name,
		 (unsigned long long)catalog_generation(catalog),
		 (unsigned long long)(clock_monotonic_us() - r->started_us));
	reading_over(r);
	r->ops->on_catalog(r->arg, r, catalog);
	catalog_put(&catalog);
}

static void on_rows(void *arg, const struct pg_rows *rows)
{
	struct catalog_reader *r = arg;

	WEIR_CHECK_MAGIC(r, READER_MAGIC);
	if (r->builder == NULL) {
		on_fingerprint(r, rows);
		return;
	}
	catalog_queries[r->step++].take(r->builder, rows);
	if (r->step < catalog_query_count)
		pg_session_query(r->session, catalog_queries[r->step].sql, QUERY_TIMEOUT_US);
	else
		on_complete(r);
}

static void on_failed(void *arg, const char *reason)
{
	struct catalog_reader *r = arg;

	WEIR_CHECK_MAGIC(r, READER_MAGIC);
	if (r->retry_us == 0)
		log_warn("catalog_failed", "database=%s what=%s reason=\"%s\"", r->name,
			 r->builder ? catalog_queries[r->step].what : "connect", reason);
	catalog_builder_destroy(r->builder);
	r->builder = NULL;
	r->retry_us = r->retry_us ? r->retry_us * 2 : RETRY_FIRST_US;
	if (r->retry_us > RETRY_MAX_US)
		r->retry_us = RETRY_MAX_US;
	arm(r, r->retry_us);
}

static const struct pg_session_ops session_ops = { on_rows, on_failed, NULL };

struct catalog_reader *catalog_reader_create(const struct pg_session_net *net,
					     const struct catalog_reader_ops *ops, void *arg,
					     const char *name)
{
	struct catalog_reader *r = mem_zalloc(sizeof *r);

	r->magic = READER_MAGIC;
	r->name = mem_strdup(name);
	r->net = *net;
	r->ops = ops;
	r->arg = arg;
	return r;
}

static void drop_session(struct catalog_reader *r)
{
	loop_timer_cancel(&r->timer);
	pg_session_destroy(r->session);
	r->session = NULL;
	catalog_builder_destroy(r->builder);
	r->builder = NULL;
}

void catalog_reader_destroy(struct catalog_reader *r)
{
	if (r == NULL)
		return;
	WEIR_CHECK_MAGIC(r, READER_MAGIC);
	drop_session(r);
	mem_free(r->name);
	r->magic = 0;
	mem_free(r);
}

void catalog_reader_target(struct catalog_reader *r, const struct pg_session_target *target)
{
	WEIR_CHECK_MAGIC(r, READER_MAGIC);
	drop_session(r);
	if (target == NULL)
		return;
	r->session = pg_session_create(&r->net, target, &session_ops, r);
	r->retry_us = 0;
	arm(r, 0);
}

void catalog_reader_stale(struct catalog_reader *r)
{
	WEIR_CHECK_MAGIC(r, READER_MAGIC);
	if (r->session == NULL)
		return;
	r->is_stale = true;
	if (!pg_session_is_busy(r->session))
		arm(r, STALE_PAUSE_US);
}
