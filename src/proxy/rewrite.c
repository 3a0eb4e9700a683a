/* SPDX-License-Identifier: PostgreSQL */
/*
 * A Parse that the server needn't see is replaced by the Close of a statement
 * that never exists: its CloseComplete comes at the right place in the answer
 * and is turned into the ParseComplete that the client waits for.
 *
 * A client that was told what a statement gives may run it without asking again.
 * Where the server at hand isn't known to have it like that, pgweir asks there
 * first, and keeps what is left of the request until the answer (struct look).
 */
#include "proxy/rewrite.h"

#include "base/mem.h"
#include "proxy/local.h"
#include "proxy/unnamed.h"
#include "wire/build.h"
#include "wire/frame.h"
#include "wire/frontend.h"
#include "wire/reader.h"

#define OUTDATED "pgweir_outdated" /* there is none either; its error is told as 0A000 */

/* What is left of a request, from the Bind whose statement is looked at. */
struct look {
	uint64_t id;           /* of the statement on the server */
	bool has_sync, is_cut; /* as the request's end */
	bool is_plain;
	size_t len;
	char data[];
};

struct rewriting {
	struct client *c;
	struct server *s;
	struct buf out;
	bool has_sync, is_cut; /* the request's end */
	bool is_plain;         /* statements go by the client's names, see bring.h */
	const struct plan *plan;         /* of the request; NULL: its rest, behind a look */
	const struct description *found; /* of the first Bind's statement, just now; NULL: no look */
	const char *at, *behind, *end;   /* the Bind at hand, the message behind it, the end of all */
};

/* Where a statement's name leads. */
struct target {
	struct slice name;               /* on the server; ptr NULL: the client's own */
	struct prepared_name *n;         /* NULL: not to be watched */
	const struct description *has;   /* NULL: the server doesn't have it yet */
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
static const struct description *there(struct rewriting *rw, uint64_t id)
{
	const struct description *d = prepared_set_use(&rw->s->prepared, id);

	return d && !replies_is_unsure(&rw->s->replies, id) ? d : NULL;
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

static struct prepared *intern(struct rewriting *rw, const struct msg_parse *m)
{
	struct proxy *p = rw->c->proxy;

	return prepared_intern(p->prepared, m->sql, m->types,
			       statement_cache_lookup(p->statements, m->sql));
}

static void rewrite_unnamed_parse(struct rewriting *rw, const struct msg_parse *m,
				  struct slice body)
{
	rw->c->is_unnamed_live = true;
	unnamed_parsed(rw->c, body);
	replies_newest(&rw->s->replies)->unnamed_due++;
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

/* Under the client's name, inside of its batch. An error may skip it. */
static void parse_as(struct rewriting *rw, struct slice name, struct slice text, struct slice types)
{
	close_plain(rw, name);
	op(rw, REPLY_OP_OWN_PARSE, 0);
	build_parse(&rw->out, name, text, types);
	plain_names_set(&rw->s->plain, name, PLAIN_UNKNOWN);
}

static void parse_plain(struct rewriting *rw, struct slice name, const struct prepared *p)
{
	parse_as(rw, name, p->text, p->param_types);
}

/*
 * What bring.c's bring_all does for pg_prepared_statements, inside of a batch: the server has the
 * client's statements under their names and no others. Those of SQL PREPARE that it lacks it goes
 * on lacking.
 */
static void bring_all_late(struct rewriting *rw)
{
	struct server *s = rw->s;
	const struct prepared_name *n = NULL;
	uint64_t id;

	while ((id = prepared_set_evict(&s->prepared, 0)) != 0)
		close_on_server(rw, id);
	for (size_t left = plain_names_count(&s->plain); left; left--) {
		struct slice name = plain_names_excess(&s->plain, 0); /* a look moves it to the end */
		const struct prepared_name *own = prepared_names_find(rw->c->names, name);
		uint64_t there_id = plain_names_id(&s->plain, name);

		if (!own || !own->prepared || own->prepared->id != there_id)
			close_plain(rw, name);
	}
	while ((n = prepared_names_next(rw->c->names, n)) != NULL) {
		struct slice name = slice_of(n->name, n->name_len);

		if (!n->prepared->is_sql && plain_names_id(&s->plain, name) != n->prepared->id)
			parse_plain(rw, name, n->prepared);
	}
}

/*
 * What bring_names couldn't, since the batch had begun: what its text names is the client's, or
 * isn't there. A failed transaction refuses both.
 */
static void bring_late(struct rewriting *rw)
{
	const struct plan *plan = rw->plan;

	if (rw->c->txn.state == TXN_FAILED)
		return;
	if (plan->shows_prepared)
		bring_all_late(rw);
	for (uint32_t i = 0; i < plan->name_count; i++) {
		struct slice name = plan->names[i];
		struct prepared_name *n = prepared_names_find(rw->c->names, name);
		const struct prepared *p = n ? n->prepared : NULL;

		if (plain_names_id(&rw->s->plain, name) == (p ? p->id : PLAIN_NONE))
			continue;
		if (p && !p->is_sql)
			parse_plain(rw, name, p);
		else
			close_plain(rw, name);
	}
}

/* Does a text of the request speak of that statement? */
static bool is_named_by_sql(const struct rewriting *rw, struct slice name)
{
	for (uint32_t i = 0; rw->plan && i < rw->plan->name_count; i++)
		if (slice_equal(rw->plan->names[i], name))
			return true;
	return false;
}

/*
 * The name is taken: the server gets to know one of that name, and shall say so. Not with its text,
 * which may not be possible any more.
 */
static void parse_taken(struct rewriting *rw, const struct msg_parse *m, const struct prepared *p)
{
	if (!p->is_sql && !rw->is_plain)
		parse_as(rw, m->name, slice_of("", 0), slice_of("", 0));
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
	} else if (c->txn.state != TXN_FAILED && there(rw, p->id)) {
		op(rw, REPLY_OP_AS_PARSED, 0);
		build_close(&rw->out, 'S', slice_str(REWRITE_NO_STATEMENT));
	} else {
		parse_on_server(rw, p, REPLY_OP_PARSED);
	}
	if (!rw->is_plain && is_named_by_sql(rw, m->name))
		parse_plain(rw, m->name, p);
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
		rewrite_unnamed_parse(rw, &m, f->body);
}

/* What a client's name stands for on servers. */
static struct target target_of(struct rewriting *rw, struct slice name)
{
	static const struct description unknown;
	struct prepared_name *n = name.len ? prepared_names_find(rw->c->names, name) : NULL;
	struct prepared *p = n ? n->prepared : name.len ? NULL : unnamed_prepared(rw->c);
	struct target t = { .has = &unknown };

	if (name.len && !n)
		close_plain(rw, name);
	if (name.len ? !n : rw->c->is_unnamed_live)
		return t;
	if (!p) { /* another client's unnamed statement may be there: it must not be found */
		op(rw, REPLY_OP_OWN_CLOSE, 0);
		build_close(&rw->out, 'S', name);
		return t;
	}
	if (n && (p->is_sql || rw->is_plain)) { /* it was brought */
		t.name = slice_of(n->name, n->name_len);
		return t;
	}
	t.name = server_name(p);
	t.n = n;
	/* Its Parse is under way: if that fails, this fails too. */
	if (!n || !list_node_linked(&n->pending) || !prepared_set_may_have(&rw->s->prepared, p->id))
		t.has = there(rw, p->id);
	return t;
}

static void ensure_parsed(struct rewriting *rw, const struct target *t)
{
	if (!t->has)
		parse_on_server(rw, t->n ? t->n->prepared : unnamed_prepared(rw->c),
				REPLY_OP_OWN_PARSE);
}

/* pgweir's own Close in front of a Describe says whose the next description is. */
static void mark_describe(struct rewriting *rw, enum reply_op_kind kind)
{
	op(rw, kind, 0);
	build_close(&rw->out, 'S', slice_str(REWRITE_NO_STATEMENT));
}

/*
 * The client asks for a description. Where the server's is known it need not be looked at, unless
 * the client has another: it keeps that if an error comes first.
 */
static void note_asked(struct rewriting *rw, struct prepared_name *n,
		       const struct description *has, bool is_portal)
{
	struct description asked = { has->columns, is_portal ? 0 : has->parameters };
	bool is_known = has->columns && (is_portal || has->parameters);

	if (list_node_linked(&n->asked))
		return;
	if (is_known && description_fits(&asked, &n->told))
		return;
	if (is_known && !n->told.columns) {
		n->told = asked;
		return;
	}
	prepared_names_ask(rw->c->names, n);
	mark_describe(rw, REPLY_OP_ASKED);
}

/* Does the next message ask what this portal gives? */
static bool is_described_next(const struct rewriting *rw, struct slice portal)
{
	struct msg_target m;
	struct frame f;
	size_t used;

	return frame_next(slice_of(rw->behind, (size_t)(rw->end - rw->behind)), SIZE_MAX, &f,
			  &used) == WEIR_OK && f.type == FE_DESCRIBE &&
	       frontend_read_target(f.body, &m) == WEIR_OK && m.kind == 'P' &&
	       slice_equal(m.name, portal);
}

/*
 * Could the client notice that the server has another statement than it was told? By parameters
 * that it encodes as they were; by rows, unless it asks again and has all columns in one format.
 */
static bool would_notice(const struct rewriting *rw, const struct prepared_name *n,
			 const struct description *has, const struct msg_bind *m)
{
	const struct description *told = &n->told;

	if (list_node_linked(&n->asked) || rw->c->txn.state == TXN_FAILED)
		return false;
	if (told->parameters && (!has || told->parameters != has->parameters))
		return true;
	return told->columns && (!has || told->columns != has->columns) &&
	       (!m || m->result_format_count > 1 || !is_described_next(rw, m->portal));
}

/* Parsed here and now, since an older one may be outdated itself. False: no memory. */
static bool look_at(struct rewriting *rw, const struct prepared *p)
{
	size_t len = (size_t)(rw->end - rw->at);
	struct look *look = mem_try_alloc(sizeof *look + len);

	if (!look)
		return false;
	*look = (struct look){
		.id = p->id, .has_sync = rw->has_sync, .is_cut = rw->is_cut,
		.is_plain = rw->is_plain, .len = len,
	};
	memcpy(look->data, rw->at, len);
	rw->c->look = look;
	parse_on_server(rw, p, REPLY_OP_OWN_PARSE);
	mark_describe(rw, REPLY_OP_LOOK);
	build_describe(&rw->out, 'S', server_name(p));
	buf_append_slice(&rw->out, wire_flush);
	return true;
}

/* Other servers may have it as outdated, which a client that prepares it again mustn't meet. */
static void note_change(struct prepared *p, const struct description *found)
{
	if (description_fits(found, &p->described))
		return;
	p->described = *found;
	prepared_renew(p);
}

/* The target of a Bind, ready on the server. False: a look comes first. */
static bool bind_target(struct rewriting *rw, struct slice name, const struct msg_bind *m,
			struct target *t)
{
	const struct description *found = rw->found;

	*t = target_of(rw, name);
	rw->found = NULL; /* of this Bind, not of those behind it */
	if (t->n && would_notice(rw, t->n, found ? found : t->has, m)) {
		if (!found && look_at(rw, t->n->prepared))
			return false;
		if (found)
			note_change(t->n->prepared, found);
		*t = (struct target){ .name = slice_str(OUTDATED) };
	} else if (t->name.ptr) {
		ensure_parsed(rw, t);
	}
	return true;
}

/* Asked for in front of the Bind, so that nothing of the answer must leave because of that. */
static void note_portal(struct rewriting *rw, const struct target *t, struct slice portal)
{
	struct description has = t->has ? *t->has : (struct description){ 0 };
	bool is_known = has.columns && has.columns == t->n->told.columns;

	if (!is_known && is_described_next(rw, portal))
		note_asked(rw, t->n, &has, true);
}

static void rewrite_bind(struct rewriting *rw, const struct frame *f)
{
	struct msg_bind m;
	struct target t;

	if (frontend_read_bind(f->body, &m) != WEIR_OK) {
		buf_append_slice(&rw->out, f->whole);
		return;
	}
	rw->at = f->whole.ptr;
	rw->behind = f->whole.ptr + f->whole.len;
	if (!bind_target(rw, m.statement, &m, &t))
		return;
	if (!t.name.ptr) {
		buf_append_slice(&rw->out, f->whole);
		return;
	}
	if (t.n)
		note_portal(rw, &t, m.portal);
	build_bind_renamed(&rw->out, m.before_statement, t.name, m.after_statement);
	stat_add(&rw->c->tenant->stats->bind_count, 1);
}

static void describe_statement(struct rewriting *rw, const struct frame *f, struct slice name)
{
	struct target t = target_of(rw, name);
	struct description has = t.has ? *t.has : (struct description){ 0 };

	if (!t.name.ptr) {
		buf_append_slice(&rw->out, f->whole);
		return;
	}
	ensure_parsed(rw, &t);
	if (t.n)
		note_asked(rw, t.n, &has, false);
	build_describe(&rw->out, 'S', t.name);
}

static void rewrite_describe(struct rewriting *rw, const struct frame *f)
{
	struct msg_target m;

	if (frontend_read_target(f->body, &m) == WEIR_OK && m.kind == 'S')
		describe_statement(rw, f, m.name);
	else
		buf_append_slice(&rw->out, f->whole);
}

/* The statement stays on the server, for others; the client's name goes. */
static void rewrite_close(struct rewriting *rw, const struct frame *f)
{
	struct msg_target m;
	struct prepared_name *n;
	bool is_unnamed;

	if (frontend_read_target(f->body, &m) == WEIR_OK && m.kind == 'S' && m.name.len &&
	    (n = prepared_names_find(rw->c->names, m.name)) != NULL) {
		if (rw->is_plain) /* what shows it is in this request */
			close_plain(rw, m.name);
		op(rw, REPLY_OP_CLOSED, 0);
		prepared_names_close(rw->c->names, n);
		build_close(&rw->out, 'S', slice_str(REWRITE_NO_STATEMENT));
		return;
	}
	is_unnamed = f->body.len == 2 && f->body.ptr[0] == 'S';
	if (is_unnamed && !rw->c->is_unnamed_live) /* none of it is on the server to be asked */
		unnamed_end(rw->c);
	op(rw, is_unnamed ? REPLY_OP_CLOSED_UNNAMED : REPLY_OP_FORWARD, 0);
	buf_append_slice(&rw->out, f->whole);
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
	struct target t = { 0 };
	uint32_t total;

	rw->at = cut.ptr;
	if (reader_status(&r) == WEIR_OK && !bind_target(rw, name, NULL, &t))
		return;
	if (!t.name.ptr) {
		buf_append_slice(&rw->out, cut);
		return;
	}
	total = frame_load_u32(cut.ptr + 1);
	buf_append_u8(&rw->out, FE_BIND);
	buf_append_u32(&rw->out, total - (uint32_t)name.len + (uint32_t)t.name.len);
	build_cstring(&rw->out, portal);
	build_cstring(&rw->out, t.name);
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
		unnamed_end(rw->c);
	}
	buf_append_slice(&rw->out, cut);
}

static void rewrite_all(struct rewriting *rw, struct slice rest)
{
	struct frame f;
	size_t used;

	buf_init(&rw->out, SIZE_MAX / 2);
	if (rw->plan)
		bring_late(rw);
	rw->end = rest.ptr + rest.len;
	while (rest.len && !rw->c->look && frame_next(rest, SIZE_MAX, &f, &used) == WEIR_OK) {
		rewrite_frame(rw, &f);
		rest = slice_of(rest.ptr + used, rest.len - used);
	}
	if (rest.len && !rw->c->look)
		rewrite_cut(rw, rest);
	conn_send_copy(&rw->s->conn, buf_slice(&rw->out));
	buf_fini(&rw->out);
}

void rewrite_send(struct client *c, const struct request *req, const struct plan *plan)
{
	struct rewriting rw = {
		.c = c,
		.s = c->server,
		.has_sync = req->has_sync,
		.is_cut = req->missing > 0,
		.is_plain = plan->shows_prepared,
		.plan = plan,
	};

	rewrite_all(&rw, req->bytes);
}

void rewrite_asked(struct client *c)
{
	struct server *s = c->server;
	struct prepared_name *n = prepared_names_take_asked(c->names);

	if (!n)
		return;
	description_learn(&n->told, &s->described);
	prepared_set_describe(&s->prepared, n->asked_id, &s->described);
}

void rewrite_looked(struct client *c)
{
	struct server *s = c->server;
	struct description found = s->described;
	struct look *look = c->look;
	struct rewriting rw = { .c = c, .s = s, .found = &found };

	if (!look)
		return;
	c->look = NULL;
	prepared_set_describe(&s->prepared, look->id, &found);
	rw.has_sync = look->has_sync;
	rw.is_cut = look->is_cut;
	rw.is_plain = look->is_plain;
	rewrite_all(&rw, slice_of(look->data, look->len));
	mem_free(look);
}

void rewrite_look_failed(struct client *c)
{
	struct look *look = c->look;

	if (!look)
		return;
	c->look = NULL;
	if (look->is_cut) /* its rest will be passed on as it comes */
		conn_send_copy(&c->server->conn, slice_of(look->data, look->len));
	else if (look->has_sync)
		conn_send(&c->server->conn, wire_sync);
	mem_free(look);
}

void rewrite_forget(struct client *c)
{
	mem_free(c->look);
	c->look = NULL;
}

bool rewrite_is_outdated(const struct msg_error *e)
{
	return slice_is(e->sqlstate, "26000") &&
	       memmem(e->message.ptr, e->message.len, OUTDATED, strlen(OUTDATED));
}

void rewrite_query_mark(struct client *c, const struct plan *plan)
{
	struct rewriting rw = { .c = c, .s = c->server, .plan = plan };

	buf_init(&rw.out, SIZE_MAX / 2);
	bring_late(&rw);
	op(&rw, REPLY_OP_OWN_CLOSE, 0);
	build_close(&rw.out, 'S', slice_str(REWRITE_NO_STATEMENT));
	conn_send_copy(&c->server->conn, buf_slice(&rw.out));
	buf_fini(&rw.out);
}

static void undo_ops(struct server *s, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct reply_op o = replies_op_at(&s->replies, i);

		if (o.id)
			prepared_set_doubt(&s->prepared, o.id);
	}
}

static void refuse_asked(struct client *c, struct server *s, size_t count)
{
	s->watch &= (uint8_t)~(WATCH_ASKED | WATCH_LOOK);
	while (count-- && prepared_names_take_asked(c->names))
		;
}

void rewrite_undo(struct client *c, struct server *s)
{
	size_t asked = replies_unasked(&s->replies) + ((s->watch & WATCH_ASKED) != 0);

	if (c && c->names) {
		refuse_asked(c, s, asked);
		prepared_names_refuse(c->names, replies_unconfirmed(&s->replies),
				      replies_unclosed(&s->replies));
	}
	if (c)
		unnamed_refused(c, &s->replies);
	undo_ops(s, replies_current(&s->replies)->op_count);
	replies_skip_ops(&s->replies);
}

void rewrite_undo_all(struct client *c, struct server *s)
{
	if (c && c->names) {
		refuse_asked(c, s, SIZE_MAX);
		prepared_names_refuse(c->names, SIZE_MAX, SIZE_MAX);
	}
	if (c && replies_unnamed_due(&s->replies))
		unnamed_end(c);
	undo_ops(s, s->replies.op_total);
	replies_skip_all_ops(&s->replies);
}
