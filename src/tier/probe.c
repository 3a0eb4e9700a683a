/* SPDX-License-Identifier: PostgreSQL */
/*
 * Probes, see probe.h. A replica's timeline is the one that it receives; while
 * it receives nothing (or the role may not see that), the one that its control
 * file says it must reach. The primary's comes from the name of its WAL file,
 * which is right from the moment of promotion.
 *
 * A failing node is asked less and less often, up to once in RETRY_MAX_US.
 */
#include "tier/probe.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"

enum { PROBE_MAGIC = 0x70726f62, RETRY_FIRST_US = 100 * 1000, RETRY_MAX_US = 1000 * 1000 };

static const char probe_sql[] =
	"SELECT r.standby, CASE WHEN r.standby THEN pg_catalog.pg_last_wal_replay_lsn()"
	" ELSE pg_catalog.pg_current_wal_insert_lsn() END,"
	" CASE WHEN r.standby THEN pg_catalog.to_hex(COALESCE("
	"(SELECT w.received_tli FROM pg_catalog.pg_stat_get_wal_receiver() AS w),"
	" (SELECT c.min_recovery_end_timeline FROM pg_catalog.pg_control_recovery() AS c)))"
	" ELSE pg_catalog.substr(pg_catalog.pg_walfile_name("
	"pg_catalog.pg_current_wal_insert_lsn()), 1, 8) END"
	" FROM (SELECT pg_catalog.pg_is_in_recovery() OFFSET 0) AS r(standby)";

struct probe {
	unsigned magic;
	uint16_t id;
	struct pg_session *session;  /* owned */
	const struct probe_ops *ops; /* borrowed: static */
	void *arg;
	uint64_t sent_us;
	uint64_t pause_us;           /* after a failure, doubled by the next */
	uint64_t retry_us;           /* not before */
};

bool probe_parse(const char *in_recovery, const char *lsn, const char *timeline,
		 struct probe_sample *out)
{
	uint32_t high, low, tli = 0;
	char end;

	if (in_recovery == NULL || lsn == NULL)
		return false;
	if (strcmp(in_recovery, "t") != 0 && strcmp(in_recovery, "f") != 0)
		return false;
	if (sscanf(lsn, "%" SCNx32 "/%" SCNx32 "%c", &high, &low, &end) != 2)
		return false;
	if (timeline && sscanf(timeline, "%" SCNx32 "%c", &tli, &end) != 1)
		return false;
	out->in_recovery = in_recovery[0] == 't';
	out->lsn = (uint64_t)high << 32 | low;
	out->timeline = tli;
	return true;
}

static void probe_failed(struct probe *p, const char *reason)
{
	p->pause_us = p->pause_us ? p->pause_us * 2 : RETRY_FIRST_US;
	if (p->pause_us > RETRY_MAX_US)
		p->pause_us = RETRY_MAX_US;
	p->retry_us = clock_monotonic_us() + p->pause_us;
	p->ops->on_failed(p->arg, p->id, reason);
}

static void on_rows(void *arg, const struct pg_rows *rows)
{
	struct probe *p = arg;
	struct probe_sample sample = { .sent_us = p->sent_us };

	WEIR_CHECK_MAGIC(p, PROBE_MAGIC);
	if (!probe_parse(pg_rows_text(rows, 0, 0), pg_rows_text(rows, 0, 1),
			 pg_rows_text(rows, 0, 2), &sample)) {
		probe_failed(p, "unexpected answer");
		return;
	}
	p->pause_us = 0;
	p->retry_us = 0;
	p->ops->on_sample(p->arg, p->id, &sample);
}

static void on_failed(void *arg, const char *reason)
{
	struct probe *p = arg;

	WEIR_CHECK_MAGIC(p, PROBE_MAGIC);
	probe_failed(p, reason);
}

static const struct pg_session_ops session_ops = { on_rows, on_failed, NULL };

struct probe *probe_create(const struct pg_session_net *net, const struct pg_session_target *target,
			   const struct probe_ops *ops, void *arg, uint16_t id)
{
	struct probe *p = mem_zalloc(sizeof *p);

	p->magic = PROBE_MAGIC;
	p->id = id;
	p->ops = ops;
	p->arg = arg;
	p->session = pg_session_create(net, target, &session_ops, p);
	return p;
}

void probe_destroy(struct probe *p)
{
	if (p == NULL)
		return;
	WEIR_CHECK_MAGIC(p, PROBE_MAGIC);
	pg_session_destroy(p->session);
	p->magic = 0;
	mem_free(p);
}

void probe_start(struct probe *p, uint64_t timeout_us, bool is_urgent)
{
	uint64_t now_us = clock_monotonic_us();

	WEIR_CHECK_MAGIC(p, PROBE_MAGIC);
	if (pg_session_is_busy(p->session) || (!is_urgent && now_us < p->retry_us))
		return;
	p->sent_us = now_us;
	pg_session_query(p->session, probe_sql, timeout_us);
}
