/* SPDX-License-Identifier: PostgreSQL */
/*
 * A console request's life: find the command, check the role, collect what
 * workers know, let the handler answer, end with ReadyForQuery. Everything
 * runs on the control thread; waiting is a callback.
 */
#include "admin/admin.h"

#include <inttypes.h>

#include "admin/private.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

struct admin *admin_create(const struct admin_source *source)
{
	struct admin *a = mem_zalloc(sizeof(*a));

	a->source = *source;
	a->now_us = clock_monotonic_us();
	window_init(&a->window, a->now_us);
	return a;
}

void admin_destroy(struct admin *a)
{
	window_fini(&a->window);
	readiness_fini(&a->readiness);
	mem_free(a);
}

static void on_tick_topology(void *ctx, const char *cluster, const struct topology *t)
{
	struct admin *a = ctx;

	readiness_note(&a->readiness, cluster, t, a->now_us);
}

/* Per second, times in microseconds. */
static void log_averages(const struct window *w)
{
	uint64_t avg[DB_STAT_COUNT];

	window_total_averages(w, avg);
	log_info("stats",
	         "xacts=%" PRIu64 " queries=%" PRIu64 " in_bytes=%" PRIu64 " out_bytes=%" PRIu64
	         " xact_us=%" PRIu64 " query_us=%" PRIu64 " wait_us=%" PRIu64 " to_replica=%" PRIu64
	         " cache_hits=%" PRIu64,
	         avg[DB_STAT_xact_count], avg[DB_STAT_query_count], avg[DB_STAT_received],
	         avg[DB_STAT_sent], avg[DB_STAT_xact_time], avg[DB_STAT_query_time],
	         avg[DB_STAT_wait_time], avg[DB_STAT_routed_replica],
	         avg[DB_STAT_cache_hits_local] + avg[DB_STAT_cache_hits_redis]);
}

void admin_tick(struct admin *a, uint64_t now_us)
{
	struct config *cfg = a->source.config(a->source.ctx);

	a->now_us = now_us;
	if (window_tick(&a->window, a->source.metrics, now_us, cfg->global.stats_period_us) &&
	    cfg->global.log_stats)
		log_averages(&a->window);
	a->source.topologies(a->source.ctx, on_tick_topology, a);
	config_put(&cfg);
}

void request_finish(struct admin_request *request)
{
	struct pg_error err;

	if (request->out.err != WEIR_OK) {
		buf_clear(&request->out);
		pg_error_set(&err, "54000", "the answer is too large");
		build_error(&request->out, "ERROR", &err);
	}
	buf_append_slice(&request->out, wire_ready_idle);
	request->on_done(request);
}

static void request_fail(struct admin_request *request, const struct pg_error *err)
{
	build_error(&request->out, "ERROR", err);
	request_finish(request);
}

/* Consumes the parts. */
static void request_answer(struct admin_request *request, struct admin_part *parts)
{
	struct admin *a = request->admin;
	struct config *cfg = a->source.config(a->source.ctx);
	struct show s = {
		.admin = a,
		.request = request,
		.source = &a->source,
		.cfg = cfg,
		.parts = parts,
		.window = &a->window,
		.argument = request->argument,
		.out = &request->out,
	};
	bool is_pending;

	/* An order may end the request, and with it its memory, inside the handler. */
	request->command->handler(&s);
	is_pending = s.is_pending;
	if (!is_pending)
		request_finish(request);
	admin_part_destroy(&parts);
	config_put(&cfg);
}

static void on_parts(void *ctx, struct admin_part *parts)
{
	request_answer(ctx, parts);
}

static bool argument_fits(const struct admin_command *c, struct slice argument)
{
	switch (c->argument) {
	case ARGUMENT_NONE:
		return argument.len == 0;
	case ARGUMENT_NEEDED:
		return argument.len > 0;
	default:
		return true;
	}
}

void admin_run(struct admin *a, struct admin_request *request)
{
	struct slice sql = command_trim(slice_str(request->sql));
	const struct admin_command *c;
	struct pg_error err;

	request->admin = a;
	if (sql.len == 0) {
		buf_append_slice(&request->out, wire_empty_query);
		request_finish(request);
		return;
	}
	c = command_find(sql, &request->argument);
	request->command = c;
	if (!c || !argument_fits(c, request->argument)) {
		pg_error_set(&err, "42601", "invalid command '%.200s', use SHOW HELP;", request->sql);
		request_fail(request, &err);
	} else if (request->role < c->role) {
		pg_error_set(&err, "42501", "admin access needed");
		request_fail(request, &err);
	} else if (c->want) {
		a->source.collect(a->source.ctx, c->want, on_parts, request);
	} else {
		request_answer(request, NULL);
	}
}

void admin_greeting(struct buf *out)
{
	static const char *const parameters[][2] = {
		{ "server_version", "15.0" },  { "client_encoding", "UTF8" },
		{ "server_encoding", "UTF8" }, { "DateStyle", "ISO, MDY" },
		{ "TimeZone", "UTC" },         { "standard_conforming_strings", "on" },
		{ "integer_datetimes", "on" }, { "IntervalStyle", "postgres" },
		{ "is_superuser", "off" },     { "application_name", "" },
	};

	for (size_t i = 0; i < WEIR_COUNTOF(parameters); i++)
		build_parameter_status(out, slice_str(parameters[i][0]), slice_str(parameters[i][1]));
}

void admin_refuse_extended(struct buf *out)
{
	struct pg_error err;

	pg_error_set(&err, "0A000", "extended query protocol not supported by admin console");
	build_error(out, "ERROR", &err);
}
