/* SPDX-License-Identifier: PostgreSQL */
/*
 * A Parse that the server needn't see is replaced by the Close of a statement
 * that never exists: its CloseComplete comes at the right place in the answer
 * and is turned into the ParseComplete that the client waits for.
 */
#include "proxy/rewrite.h"

#include "proxy/local.h"
#include "wire/build.h"
#include "wire/frame.h"
#include "wire/frontend.h"
#include "wire/reader.h"

#define NO_STATEMENT "pgweir_0" /* ids begin at 1 */

struct rewriting {
	struct client *c;
	struct server *s;
	struct buf out;
	bool is_parse_only;    /* no Bind: the unnamed statement outlives the request */
	bool is_plain;         /* statements go by the client's names, see bring.h */
};

static void op(struct rewriting *rw, enum reply_op_kind kind, uint64_t id)
{
	if (replies_push_op(&rw->s->replies, kind, id) != WEIR_OK)
		rw->out.err = WEIR_ERR_LIMIT;
}

static struct slice server_name(const struct prepared *p)
{
	return slice_of(p->server_name, p->server_name_len);
}

/* No error under way can have kept it from being there. */
static bool is_there(struct rewriting *rw, uint64_t id)
{
	return prepared_set_use(&rw->s->prepared, id) && !replies_is_unsure(&rw->s->replies, id);
}

static void close_on_server(struct rewriting *rw, uint64_t id)
{
	char name[PREPARED_SERVER_NAME_MAX];

	op(rw, REPLY_OP_OWN_CLOSE, id);
	build_close(&rw->out, 'S', slice_of(name, prepared_server_name(id, name)));
}

/* The raw OIDs behind the count word that `prepared` keeps. */
static void parse_on_server(struct rewriting *rw, const struct prepared *p,
			    enum reply_op_kind kind)
{
	struct prepared_set *set = &rw->s->prepared;
	size_t max = rw->c->tenant->max_prepared ? rw->c->tenant->max_prepared : 1;
	uint64_t evicted;

	if (prepared_set_may_have(set, p->id) || replies_is_unsure(&rw->s->replies, p->id))
		close_on_server(rw, p->id); /* a Parse of what is there would be refused */
	prepared_set_add(set, p->id);
	while ((evicted = prepared_set_evict(set, max + 1)) != 0)
		close_on_server(rw, evicted);
	op(rw, kind, p->id);
	build_parse(&rw->out, server_name(p), p->text, p->param_types);
	stat_add(&rw->c->tenant->stats->server_parse_count, 1);
}

static void ensure_parsed(struct rewriting *rw, const struct prepared *p)
{
	if (!is_there(rw, p->id))
		parse_on_server(rw, p, REPLY_OP_OWN_PARSE);
}

static struct prepared *intern(struct rewriting *rw, const struct msg_parse *m)
{
	struct proxy *p = rw->c->proxy;

	return prepared_intern(p->prepared, m->sql, m->types,
			       statement_cache_lookup(p->statements, m->sql));
}

static void rewrite_unnamed_parse(struct rewriting *rw, const struct msg_parse *m)
{
	rw->c->is_unnamed_live = true;
	prepared_put(&rw->c->unnamed);
	if (rw->is_parse_only)
		rw->c->unnamed = intern(rw, m);
	op(rw, REPLY_OP_UNNAMED, 0);
	build_parse(&rw->out, m->name, m->sql, m->types);
}

/* Another client's statement of that name must not be found. An error may skip the Close. */
static void close_plain(struct rewriting *rw, struct slice name)
{
	if (plain_names_id(&rw->s->plain, name) == PLAIN_NONE)
		return;
	plain_names_set(&rw->s->plain, name, PLAIN_UNKNOWN);
	op(rw, REPLY_OP_OWN_CLOSE, 0);
	build_close(&rw->out, 'S', name);
}

/* The name is taken: by it the server gets to know the statement, and shall say so. */
static void parse_taken(struct rewriting *rw, const struct msg_parse *m, const struct prepared *p)
{
	if (!p->is_sql && !rw->is_plain) {
		close_plain(rw, m->name);
		op(rw, REPLY_OP_OWN_PARSE, 0);
		build_parse(&rw->out, m->name, p->text, p->param_types);
		plain_names_set(&rw->s->plain, m->name, PLAIN_UNKNOWN);
	}
	op(rw, REPLY_OP_FORWARD, 0);
	build_parse(&rw->out, m->name, m->sql, m->types);
}

static void rewrite_named_parse(struct rewriting *rw, const struct msg_parse *m)
{
	struct client *c = rw->c;
	struct prepared_name *known;
	struct prepared *p;

	if (!c->names)
		c->names = prepared_names_create();
	stat_add(&c->tenant->stats->client_parse_count, 1);
	known = prepared_names_find(c->names, m->name);
	if (known) {
		parse_taken(rw, m, known->prepared);
		return;
	}
	p = intern(rw, m);
	if (rw->is_plain) {
		op(rw, REPLY_OP_PARSED, 0);
		build_parse(&rw->out, m->name, m->sql, m->types);
		plain_names_set(&rw->s->plain, m->name, PLAIN_UNKNOWN);
	} else if (c->txn.state != TXN_FAILED && is_there(rw, p->id)) {
		op(rw, REPLY_OP_AS_PARSED, 0);
		build_close(&rw->out, 'S', slice_str(NO_STATEMENT));
	} else {
		parse_on_server(rw, p, REPLY_OP_PARSED);
	}
	prepared_names_add(c->names, m->name, &p);
}

static void rewrite_parse(struct rewriting *rw, const struct frame *f)
{
	struct msg_parse m;

	if (frontend_read_parse(f->body, &m) != WEIR_OK) {
		op(rw, REPLY_OP_FORWARD, 0);
		buf_append_slice(&rw->out, f->whole);
		return;
	}
	m.sql = local_sql(rw->c, m.sql);
	if (m.name.len)
		rewrite_named_parse(rw, &m);
	else
		rewrite_unnamed_parse(rw, &m);
}

/* What a client's name stands for on servers, parsed there now; ptr NULL: not ours. */
static struct slice name_on_server(struct rewriting *rw, struct slice name)
{
	struct prepared_name *n = name.len ? prepared_names_find(rw->c->names, name) : NULL;
	struct prepared *p = n ? n->prepared : rw->c->unnamed;

	if (name.len && !n)
		close_plain(rw, name);
	if (name.len ? !n : rw->c->is_unnamed_live)
		return slice_of(NULL, 0);
	if (!p) /* another client's unnamed statement may be there: it must not be found */
		return slice_str(NO_STATEMENT);
	if (n && (p->is_sql || rw->is_plain)) /* it was brought */
		return slice_of(n->name, n->name_len);
	/* Its Parse is under way: if that fails, this fails too. */
	if (!n || !list_node_linked(&n->pending) || !prepared_set_may_have(&rw->s->prepared, p->id))
		ensure_parsed(rw, p);
	return server_name(p);
}

static void rewrite_bind(struct rewriting *rw, const struct frame *f)
{
	struct msg_bind m;
	struct slice name;

	if (frontend_read_bind(f->body, &m) != WEIR_OK ||
	    (name = name_on_server(rw, m.statement)).ptr == NULL) {
		buf_append_slice(&rw->out, f->whole);
		return;
	}
	build_bind_renamed(&rw->out, m.before_statement, name, m.after_statement);
	stat_add(&rw->c->tenant->stats->bind_count, 1);
}

static void rewrite_describe(struct rewriting *rw, const struct frame *f)
{
	struct msg_target m;
	struct slice name;

	if (frontend_read_target(f->body, &m) != WEIR_OK || m.kind != 'S' ||
	    (name = name_on_server(rw, m.name)).ptr == NULL) {
		buf_append_slice(&rw->out, f->whole);
		return;
	}
	build_describe(&rw->out, 'S', name);
}

/* The statement stays on the server, for others; the client's name goes. */
static void rewrite_close(struct rewriting *rw, const struct frame *f)
{
	struct msg_target m;
	struct prepared_name *n;

	if (frontend_read_target(f->body, &m) == WEIR_OK && m.kind == 'S' && m.name.len &&
	    (n = prepared_names_find(rw->c->names, m.name)) != NULL) {
		op(rw, REPLY_OP_CLOSED, 0);
		prepared_names_close(rw->c->names, n);
		build_close(&rw->out, 'S', slice_str(NO_STATEMENT));
		return;
	}
	op(rw, REPLY_OP_FORWARD, 0);
	buf_append_slice(&rw->out, f->whole);
	if (f->body.len == 2 && f->body.ptr[0] == 'S') /* the unnamed one */
		prepared_put(&rw->c->unnamed);
}

static void rewrite_frame(struct rewriting *rw, const struct frame *f)
{
	switch (f->type) {
	case FE_PARSE:
		rewrite_parse(rw, f);
		break;
	case FE_BIND:
		rewrite_bind(rw, f);
		break;
	case FE_DESCRIBE:
		rewrite_describe(rw, f);
		break;
	case FE_CLOSE:
		rewrite_close(rw, f);
		break;
	default:
		buf_append_slice(&rw->out, f->whole);
		break;
	}
}

/* The start of a Bind whose end hasn't come yet: its name stands in front. */
static void rewrite_cut_bind(struct rewriting *rw, struct slice cut)
{
	size_t head = cut.len < FRAME_HEADER_BYTES ? cut.len : (size_t)FRAME_HEADER_BYTES;
	struct reader r = reader_of(slice_of(cut.ptr + head, cut.len - head));
	struct slice portal = reader_cstring(&r);
	struct slice name = reader_cstring(&r);
	struct slice rest = reader_rest(&r);
	struct slice renamed = slice_of(NULL, 0);
	uint32_t total;

	if (reader_status(&r) == WEIR_OK)
		renamed = name_on_server(rw, name);
	if (!renamed.ptr) {
		buf_append_slice(&rw->out, cut);
		return;
	}
	total = frame_load_u32(cut.ptr + 1);
	buf_append_u8(&rw->out, FE_BIND);
	buf_append_u32(&rw->out, total - (uint32_t)name.len + (uint32_t)renamed.len);
	build_cstring(&rw->out, portal);
	build_cstring(&rw->out, renamed);
	buf_append_slice(&rw->out, rest);
}

/* The last message, whose end hasn't come yet. */
static void rewrite_cut(struct rewriting *rw, struct slice cut)
{
	if (cut.ptr[0] == FE_BIND && cut.len >= FRAME_HEADER_BYTES) {
		rewrite_cut_bind(rw, cut);
		return;
	}
	if (cut.ptr[0] == FE_PARSE || cut.ptr[0] == FE_CLOSE)
		op(rw, REPLY_OP_FORWARD, 0);
	if (cut.ptr[0] == FE_PARSE) {
		rw->c->is_unnamed_live = true;
		prepared_put(&rw->c->unnamed);
	}
	buf_append_slice(&rw->out, cut);
}

void rewrite_send(struct client *c, const struct request *req, const struct plan *plan)
{
	struct rewriting rw = {
		.c = c,
		.s = c->server,
		.is_parse_only = !plan->has_bind,
		.is_plain = plan->shows_prepared,
	};
	struct slice rest = req->bytes;
	struct frame f;
	size_t used;

	buf_init(&rw.out, SIZE_MAX / 2);
	while (rest.len && frame_next(rest, SIZE_MAX, &f, &used) == WEIR_OK) {
		rewrite_frame(&rw, &f);
		rest = slice_of(rest.ptr + used, rest.len - used);
	}
	if (rest.len)
		rewrite_cut(&rw, rest);
	conn_send_copy(&c->server->conn, buf_slice(&rw.out));
	buf_fini(&rw.out);
}

void rewrite_query_mark(struct client *c)
{
	struct rewriting rw = { .c = c, .s = c->server };

	buf_init(&rw.out, 64);
	op(&rw, REPLY_OP_OWN_CLOSE, 0);
	build_close(&rw.out, 'S', slice_str(NO_STATEMENT));
	conn_send_copy(&c->server->conn, buf_slice(&rw.out));
	buf_fini(&rw.out);
}

static void undo_ops(struct client *c, struct server *s, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct reply_op o = replies_op_at(&s->replies, i);

		if (o.id)
			prepared_set_doubt(&s->prepared, o.id);
		if (o.kind == REPLY_OP_UNNAMED && c)
			prepared_put(&c->unnamed);
	}
}

void rewrite_undo(struct client *c, struct server *s)
{
	if (c && c->names)
		prepared_names_refuse(c->names, replies_unconfirmed(&s->replies),
				      replies_unclosed(&s->replies));
	undo_ops(c, s, replies_current(&s->replies)->op_count);
	replies_skip_ops(&s->replies);
}

void rewrite_undo_all(struct client *c, struct server *s)
{
	if (c && c->names)
		prepared_names_refuse(c->names, SIZE_MAX, SIZE_MAX);
	undo_ops(c, s, s->replies.op_total);
	replies_skip_all_ops(&s->replies);
}
