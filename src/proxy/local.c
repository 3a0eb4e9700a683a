/* SPDX-License-Identifier: PostgreSQL */
/*
 * Local answers. For extended batches each message gets its reply in order,
 * as PostgreSQL would give it for a command without parameters and rows.
 */
#include "proxy/local.h"

#include "pool/session.h"
#include "tier/catalog.h"
#include "wire/build.h"
#include "wire/frame.h"
#include "wire/frontend.h"

enum { LOCAL_ANSWER_MAX = 4096 };

/* A position behind everything that was acknowledged before. */
static const char token_sql[] =
	"SELECT pg_catalog.pg_current_wal_insert_lsn() AS \"pgweir.lsn\"";

/* The batch's Bind gives no parameters, which is what such a command takes. */
static bool has_plain_bind(const struct plan *plan)
{
	struct msg_bind m;

	return frontend_read_bind(plan->only_bind, &m) == WEIR_OK && m.param_count == 0;
}

bool local_is_plain_batch(const struct request *req, const struct plan *plan)
{
	return req->has_sync && plan->has_bind && plan->has_execute && !plan->has_named_parse &&
	       !plan->describes_statement && plan->only && plan->only->param_count == 0 &&
	       has_plain_bind(plan) && request_is_plain_batch(req->bytes);
}

bool local_can_answer(const struct client *c, const struct request *req, const struct plan *plan,
		      const struct txn_plan *tp)
{
	if (tp->act == TXN_FORWARD || c->server || !plan->only ||
	    c->tenant->pool_mode == POOL_MODE_STATEMENT)
		return false;
	if (req->kind == REQUEST_QUERY)
		return true;
	return local_is_plain_batch(req, plan);
}

static const char *local_tag(enum txn_act act, const struct statement *s)
{
	if (act == TXN_ANSWER_BEGIN && strcmp(s->tag, "START") == 0)
		return "START TRANSACTION";
	return act == TXN_ANSWER_BEGIN ? "BEGIN" : act == TXN_ANSWER_COMMIT ? "COMMIT" : "ROLLBACK";
}

static void answer_message(struct buf *out, char type, const char *tag)
{
	switch (type) {
	case FE_PARSE:
		buf_append_slice(out, wire_parse_complete);
		break;
	case FE_BIND:
		buf_append_slice(out, wire_bind_complete);
		break;
	case FE_DESCRIBE:
		buf_append_slice(out, wire_no_data);
		break;
	case FE_CLOSE:
		buf_append_slice(out, wire_close_complete);
		break;
	case FE_EXECUTE:
		build_command_complete(out, tag);
		break;
	default:
		break;
	}
}

void local_complete(struct client *c, const char *tag)
{
	struct buf out;

	buf_init(&out, LOCAL_ANSWER_MAX);
	build_command_complete(&out, tag);
	client_send_buf(c, &out);
}

void local_answer_batch(struct client *c, const struct request *req, const char *tag)
{
	struct slice rest = req->bytes;
	struct frame f;
	struct buf out;
	size_t used;

	buf_init(&out, LOCAL_ANSWER_MAX);
	while (rest.len && frame_next(rest, SIZE_MAX, &f, &used) == WEIR_OK) {
		answer_message(&out, f.type, tag);
		rest = slice_of(rest.ptr + used, rest.len - used);
	}
	client_send_buf(c, &out);
}

void local_answer(struct client *c, const struct request *req, const struct plan *plan,
		  const struct txn_plan *tp)
{
	const char *tag = local_tag(tp->act, plan->only);

	if (tp->warning)
		client_send_notice(c, "WARNING", "25P01", tp->warning);
	if (req->kind == REQUEST_QUERY)
		local_complete(c, tag);
	else
		local_answer_batch(c, req, tag);
	stat_add(&c->tenant->stats->local_answers, 1);
}

/* The interned statement if it may be taken as parsed; counted. */
static struct prepared *known_good(struct client *c, const struct msg_parse *m)
{
	struct proxy *proxy = c->proxy;
	const struct catalog *catalog = c->tenant->catalog;
	struct prepared *p;

	if (!m->name.len || !catalog || prepared_names_find(c->names, m->name))
		return NULL;
	p = prepared_intern(proxy->prepared, m->sql, m->types,
			    statement_cache_lookup(proxy->statements, m->sql));
	if (p->good_session != session_id(c->session) ||
	    p->good_catalog != catalog_generation(catalog))
		prepared_put(&p);
	return p;
}

/* One Parse and a Sync, as drivers prepare; anything more is for a server. */
static bool reads_lone_parse(const struct request *req, struct msg_parse *m)
{
	struct frame f;
	size_t used;

	return req->has_sync && frame_next(req->bytes, SIZE_MAX, &f, &used) == WEIR_OK &&
	       f.type == FE_PARSE && req->bytes.len == used + wire_sync.len &&
	       frontend_read_parse(f.body, m) == WEIR_OK;
}

bool local_parse(struct client *c, const struct request *req)
{
	struct prepared *p;
	struct msg_parse m;

	if (c->server || c->settings.client || !reads_lone_parse(req, &m) ||
	    (p = known_good(c, &m)) == NULL)
		return false;
	if (!c->names)
		c->names = prepared_names_create();
	prepared_names_add(c->names, m.name, &p);
	(void)prepared_names_confirm(c->names);
	conn_send(&c->conn, wire_parse_complete);
	client_send_ready(c);
	stat_add(&c->tenant->stats->client_parse_count, 1);
	stat_add(&c->tenant->stats->local_answers, 1);
	return true;
}

struct slice local_sql(struct client *c, struct slice sql)
{
	return plan_shows_lsn(statement_cache_lookup(c->proxy->statements, sql)) ?
		       slice_str(token_sql) : sql;
}

struct request local_token_request(struct client *c)
{
	struct buf b;
	char *copy;
	struct slice whole;

	buf_init(&b, LOCAL_ANSWER_MAX);
	build_query(&b, slice_str(token_sql));
	whole = buf_slice(&b);
	copy = loop_turn_alloc(c->proxy->loop, whole.len);
	memcpy(copy, whole.ptr, whole.len);
	buf_fini(&b);
	return (struct request){ .kind = REQUEST_QUERY, .bytes = slice_of(copy, whole.len) };
}

bool local_deallocate(struct client *c, const struct plan *plan)
{
	struct prepared_name *n = prepared_names_find(c->names, plan->deallocate);
	struct buf out;

	if (!n || c->txn.state == TXN_FAILED)
		return false;
	prepared_names_remove(c->names, n);
	buf_init(&out, LOCAL_ANSWER_MAX);
	build_command_complete(&out, "DEALLOCATE");
	client_send_buf(c, &out);
	client_send_ready(c);
	return true;
}
