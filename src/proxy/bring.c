/* SPDX-License-Identifier: PostgreSQL */
/*
 * Extended messages only, with names of pgweir's own for the statement and the
 * portal that run a PREPARE, so that the client's unnamed ones aren't touched.
 */
#include "proxy/bring.h"

#include "base/mem.h"
#include "wire/build.h"
#include "wire/frontend.h"

#define HELPER "pgweir_prepare"

struct names_error { /* fields of an ErrorResponse */
	size_t len;
	char bytes[];
};

struct bringing {
	struct client *c;
	struct server *s;
	struct buf out;
};

static const struct prepared *wanted(const struct client *c, struct slice name)
{
	const struct prepared_name *n = prepared_names_find(c->names, name);

	return n ? n->prepared : NULL;
}

static bool is_there(struct client *c, struct slice name)
{
	const struct prepared *p = wanted(c, name);

	return plain_names_id(&c->server->plain, name) == (p ? p->id : PLAIN_NONE);
}

/* The server has the client's statements under their names, and nothing else. */
static bool has_all_and_no_other(struct client *c)
{
	const struct prepared_name *n = NULL;

	if (prepared_set_count(&c->server->prepared) ||
	    plain_names_count(&c->server->plain) != prepared_names_count(c->names))
		return false;
	while ((n = prepared_names_next(c->names, n)) != NULL)
		if (!is_there(c, slice_of(n->name, n->name_len)))
			return false;
	return true;
}

bool bring_is_due(struct client *c, const struct plan *plan)
{
	if (plan->shows_prepared)
		return !has_all_and_no_other(c);
	for (uint32_t i = 0; i < plan->name_count; i++)
		if (!is_there(c, plan->names[i]))
			return true;
	return false;
}

void bring_command(struct buf *out, struct slice sql)
{
	static const char no_params[6] = { 0 };
	size_t start;

	build_close(out, 'S', slice_str(HELPER)); /* one that failed left it behind */
	build_parse(out, slice_str(HELPER), sql, slice_of("", 0));
	build_bind_renamed(out, slice_of(HELPER, sizeof HELPER), slice_str(HELPER),
			   slice_of(no_params, sizeof no_params));
	start = build_begin(out, FE_EXECUTE);
	build_cstring(out, slice_str(HELPER));
	buf_append_u32(out, 0);
	build_end(out, start);
	build_close(out, 'P', slice_str(HELPER));
	build_close(out, 'S', slice_str(HELPER));
}

/* Closes come first in the segment: no error of a Parse can skip them. */
static void close_other(struct bringing *b, struct slice name)
{
	if (is_there(b->c, name) || plain_names_id(&b->s->plain, name) == PLAIN_NONE)
		return;
	build_close(&b->out, 'S', name);
	plain_names_set(&b->s->plain, name, PLAIN_NONE);
}

static void make_own(struct bringing *b, struct slice name)
{
	const struct prepared *p = wanted(b->c, name);

	if (!p || is_there(b->c, name))
		return;
	plain_names_set(&b->s->plain, name, p->id);
	if (p->is_sql)
		bring_command(&b->out, p->text);
	else
		build_parse(&b->out, name, p->text, p->param_types);
	stat_add(&b->c->tenant->stats->server_parse_count, 1);
}

/*
 * pg_prepared_statements shows what is there: the client's statements and nothing else. Each in a
 * segment of its own, for one whose table is gone mustn't keep the others away.
 */
static void bring_all(struct bringing *b)
{
	const struct prepared_name *n = NULL;

	bring_command(&b->out, slice_str("DEALLOCATE ALL"));
	plain_names_clear(&b->s->plain);
	prepared_set_clear(&b->s->prepared);
	while ((n = prepared_names_next(b->c->names, n)) != NULL) {
		if (replies_has_room(&b->s->replies)) {
			buf_append_slice(&b->out, wire_sync);
			replies_add(&b->s->replies, REPLY_NAMES, true);
		}
		make_own(b, slice_of(n->name, n->name_len));
	}
}

/* Before the new ones come, so that these can't be meant. */
static void drop_excess(struct bringing *b, const struct plan *plan)
{
	size_t max = b->c->tenant->max_prepared;
	struct slice name;

	max = max > plan->name_count ? max - plan->name_count : 0;
	while ((name = plain_names_excess(&b->s->plain, max)).ptr) {
		build_close(&b->out, 'S', name);
		plain_names_set(&b->s->plain, name, PLAIN_NONE);
	}
}

void bring_names(struct client *c, const struct plan *plan)
{
	struct bringing b = { .c = c, .s = c->server };

	if ((!plan->name_count && !plan->shows_prepared) || c->server->txn_status == 'E' ||
	    !bring_is_due(c, plan))
		return;
	buf_init(&b.out, SIZE_MAX / 2);
	replies_add(&b.s->replies, REPLY_NAMES, true);
	for (uint32_t i = 0; i < plan->name_count; i++)
		close_other(&b, plan->names[i]);
	drop_excess(&b, plan);
	if (plan->shows_prepared)
		bring_all(&b);
	for (uint32_t i = 0; i < plan->name_count; i++)
		make_own(&b, plan->names[i]);
	buf_append_slice(&b.out, wire_sync);
	conn_send_copy(&b.s->conn, buf_slice(&b.out));
	buf_fini(&b.out);
}

void bring_failed(struct client *c, struct slice error)
{
	plain_names_doubt_all(&c->server->plain);
	if (c->names_error)
		return;
	c->names_error = mem_alloc(sizeof *c->names_error + error.len);
	c->names_error->len = error.len;
	memcpy(c->names_error->bytes, error.ptr, error.len);
}

struct slice bring_error(const struct client *c, const struct msg_error *e)
{
	if (!c->names_error ||
	    !(slice_is(e->sqlstate, "26000") || slice_is(e->sqlstate, "25P02")))
		return slice_of(NULL, 0);
	return slice_of(c->names_error->bytes, c->names_error->len);
}

/* Counted by the whole request, which is at least what it adds. */
bool bring_is_over_limit(const struct client *c, const struct request *req)
{
	const struct config_globals *g = &c->proxy->settings->config->global;
	size_t own = prepared_names_bytes(c->names);
	size_t all = prepared_table_bytes(c->proxy->prepared);
	size_t share = g->prepared_total_bytes / c->proxy->shared->worker_count;

	return req->bytes.len > g->prepared_session_bytes ||
	       own > g->prepared_session_bytes - req->bytes.len || req->bytes.len > share ||
	       all > share - req->bytes.len;
}

void bring_forget(struct client *c)
{
	mem_free(c->names_error);
	c->names_error = NULL;
}
