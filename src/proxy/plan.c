/* SPDX-License-Identifier: PostgreSQL */
/*
 * Folds a request's messages into a plan. A malformed extended message is left
 * to the server, which knows the exact error: its statement just doesn't count.
 */
#include "proxy/plan.h"

#include "proxy/unnamed.h"
#include "sql/prepare.h"
#include "wire/frame.h"
#include "wire/frontend.h"
#include "wire/reader.h"

/* The statement of an unnamed or named Parse of this very request, for the Bind behind it. */
struct parsed_here {
	struct slice name;
	struct slice sql;
	struct slice types;
};

/* What is being run. */
struct run {
	struct slice sql;
	struct statement *statement;
	struct slice bind, types; /* empty in a simple query */
	struct prepared *prepared; /* whose types they are; NULL: the request's own */
};

enum { PARSED_HERE_MAX = 16 };

struct folding {
	struct plan *plan;
	struct client *client;
	struct parsed_here parsed[PARSED_HERE_MAX]; /* latest last */
	size_t parsed_count;
	struct slice bound;  /* portal of a Bind that no Execute has followed yet */
	bool has_bound;
	bool changes_names;  /* of prepared statements */
};

static void effects_grow(struct folding *f)
{
	struct plan *plan = f->plan;
	uint32_t cap = plan->effect_cap ? 4 * plan->effect_cap : PLAN_EFFECTS_INLINE;
	struct plan_effects *bigger = plan->effects_inline;

	if (plan->effect_cap)
		bigger = loop_turn_alloc(f->client->proxy->loop, cap * sizeof *bigger);
	if (plan->effect_count)
		memcpy(bigger, plan->effects, plan->effect_count * sizeof *bigger);
	plan->effects = bigger;
	plan->effect_cap = cap;
}

static void take_effects(struct folding *f, const struct run *run)
{
	struct plan *plan = f->plan;

	if (!run->statement->effect_count)
		return;
	if (plan->effect_count == PLAN_EFFECTS_MAX) { /* no driver sends so many in one batch */
		plan->pins |= PIN_SESSION_STATE;
		return;
	}
	if (plan->effect_count == plan->effect_cap)
		effects_grow(f);
	plan->effects[plan->effect_count++] = (struct plan_effects){
		.statement = statement_get(run->statement),
		.at = plan->completions,
		.bind = run->bind,
		.types = run->types,
		.prepared = run->prepared ? prepared_get(run->prepared) : NULL,
	};
}

static void take_writes(struct plan *plan, struct client *c, const struct statement *s,
			uint32_t verdict)
{
	struct judge_tables tables;

	if (!c->tenant->has_cache || !(verdict & VERDICT_MAY_WRITE))
		return;
	judge_writes(s, c->tenant->catalog, &tables);
	if (!(verdict & VERDICT_WRITES_KNOWN))
		tables.is_unknown = true;
	judge_tables_add(&plan->writes, &tables);
}

static bool calls(const struct statement *s, const char *function)
{
	for (uint16_t i = 0; i < s->function_count; i++)
		if (strcmp(s->functions[i].name, function) == 0)
			return true;
	return false;
}

static bool may_notify(const struct statement *s)
{
	return strcmp(s->tag, "NOTIFY") == 0 || calls(s, "pg_notify") ||
	       ((s->flags & STATEMENT_MULTI) && s->class == STATEMENT_WRITE);
}

/* What functions, defaults and triggers leave in the session; bits: CATALOG_SESSION_. */
static uint32_t pins_of_code(uint32_t bits)
{
	return (bits & CATALOG_SESSION_SEQUENCE ? (uint32_t)PIN_SEQUENCE_VALUE : 0) |
	       (bits & CATALOG_SESSION_LOCK ? (uint32_t)PIN_ADVISORY_LOCK : 0) |
	       (bits & CATALOG_SESSION_TEMPORARY ? (uint32_t)PIN_TEMP_TABLE : 0) |
	       (bits & CATALOG_SESSION_SETTING ? (uint32_t)PIN_SESSION_STATE : 0);
}

/* A copy: what it is taken from may be gone when the plan is carried out. */
static void take_name(struct folding *f, struct slice name)
{
	struct plan *plan = f->plan;
	struct loop *loop = f->client->proxy->loop;
	char *copy;

	if (plan->name_count == PLAN_NAMES_MAX) {
		plan->shows_prepared = true; /* brings them all */
		return;
	}
	if (!plan->names)
		plan->names = loop_turn_alloc(loop, PLAN_NAMES_MAX * sizeof plan->names[0]);
	copy = loop_turn_alloc(loop, name.len + 1);
	memcpy(copy, name.ptr, name.len);
	plan->names[plan->name_count++] = slice_of(copy, name.len);
}

static void fold_parsed(struct folding *f, struct statement *s);

/* What a text says about prepared statements, whether it runs or is only described. */
static void fold_names(struct folding *f, struct statement *s)
{
	struct statement_cache *cache = f->client->proxy->statements;
	struct statement *held = statement_get(s); /* look-ups may drop it from the cache */

	for (uint16_t i = 0; i < held->effect_count; i++) {
		const struct statement_effect *e = &held->effects[i];

		if (e->kind == EFFECT_SHOW_PREPARED)
			f->plan->shows_prepared = true;
		f->changes_names |= effect_changes_names(e->kind);
		if (e->kind == EFFECT_PREPARE || e->kind == EFFECT_EXECUTE ||
		    e->kind == EFFECT_DEALLOCATE)
			take_name(f, slice_str(e->name));
		if (e->kind != EFFECT_PREPARE)
			continue;
		f->plan->makes_statements = true;
		fold_parsed(f, statement_cache_lookup(cache, prepare_body(slice_str(e->value))));
	}
	statement_put(&held);
}

/* The query that a lone EXECUTE runs, if its arguments do nothing; NULL: not known. */
static struct statement *executed_by(const struct folding *f, const struct statement *s)
{
	const struct prepared_name *n;

	if (strcmp(s->tag, "EXECUTE") != 0 || (s->flags & STATEMENT_MULTI) ||
	    s->effect_count != 1 || s->effects[0].kind != EFFECT_EXECUTE || s->function_count ||
	    s->pins)
		return NULL;
	n = prepared_names_find(f->client->names, slice_str(s->effects[0].name));
	return n && n->prepared ? n->prepared->statement : NULL;
}

static bool runs_code(const struct statement *s)
{
	return (s->flags & (STATEMENT_UNPARSED | STATEMENT_LARGE)) || strcmp(s->tag, "CALL") == 0 ||
	       strcmp(s->tag, "DO") == 0 || ((s->flags & STATEMENT_MULTI) &&
					   (s->flags & STATEMENT_WRITES_UNKNOWN));
}

/* A statement that this request runs. */
static void fold_run(struct folding *f, const struct run *given)
{
	struct statement *inner = given->statement->effect_count ?
					  executed_by(f, given->statement) : NULL;
	struct run real = { .sql = given->sql, .statement = inner };
	const struct run *run = inner ? &real : given;
	struct plan *plan = f->plan;
	struct statement *s = run->statement;
	uint32_t verdict = judge_cached(s, f->client->tenant->catalog);

	if (inner) { /* its text means another statement to another client */
		verdict &= ~(uint32_t)VERDICT_CACHEABLE;
		take_effects(f, given);
	}

	txn_request_add(&plan->txn, s, verdict);
	plan->pins |= s->pins | pins_of_code(verdict >> VERDICT_SESSION_SHIFT);
	plan->code_reads_sequence |=
		(verdict >> VERDICT_SESSION_SHIFT & CATALOG_SESSION_SEQUENCE) != 0;
	plan->is_ddl |= (s->flags & STATEMENT_DDL) != 0;
	plan->commits_inside |= runs_code(s) || (s->flags & STATEMENT_COMMITS_INSIDE);
	plan->runs_code |= (verdict & VERDICT_RUNS_CODE) || runs_code(s);
	plan->may_notify |= plan->runs_code || may_notify(s);
	plan->shows_channels |= calls(s, "pg_listening_channels");
	plan->moves_sequence |= plan->runs_code ||
				(verdict >> VERDICT_SESSION_SHIFT & CATALOG_SESSION_MOVES) != 0;
	plan->wants_catalog |= (verdict & VERDICT_UNKNOWN_NAME) ||
			       (s->flags & STATEMENT_WRITES_UNKNOWN);
	if (s->hints.route != HINT_ROUTE_NONE)
		plan->hint = s->hints.route;
	take_effects(f, run);
	if (given->statement->effect_count)
		fold_names(f, given->statement);
	take_writes(plan, f->client, s, verdict);
	if (plan->txn.statement_count == 1) {
		plan->only = statement_get(s);
		plan->only_text = run->sql;
		plan->only_types = run->types;
		plan->only_verdict = verdict;
	} else {
		statement_put(&plan->only);
	}
}

/* A statement that runs, but isn't known: it may do anything. */
static void fold_unknown(struct plan *plan, bool may_change_session)
{
	plan->txn.statement_count++;
	plan->txn.class = STATEMENT_WRITE;
	plan->txn.needs_primary = true;
	plan->txn.may_write = true;
	plan->writes.is_unknown = true;
	plan->runs_code = plan->commits_inside = plan->moves_sequence = plan->may_notify = true;
	if (may_change_session)
		plan->pins |= PIN_SESSION_STATE;
	statement_put(&plan->only);
}

/* A statement that is only parsed or described: it must be possible where it goes. */
static void fold_parsed(struct folding *f, struct statement *s)
{
	uint32_t verdict = judge_cached(s, f->client->tenant->catalog);

	if (!(verdict & VERDICT_REPLICA_OK))
		f->plan->txn.needs_primary = true;
	f->plan->wants_catalog |= (verdict & VERDICT_UNKNOWN_NAME) != 0;
	if (s->effect_count)
		fold_names(f, s);
}

static bool is_made_by_sql(const struct client *c, struct slice name)
{
	const struct prepared_name *n = prepared_names_find(c->names, name);

	return n && n->prepared && n->prepared->is_sql;
}

static void note_unnamed_parse(struct plan *plan, struct slice body)
{
	plan->unnamed_parses++;
	plan->unnamed_parse = body;
	plan->replaces_unnamed |= plan->uses_older_unnamed;
}

static void fold_parse(struct folding *f, struct slice body)
{
	struct msg_parse m;
	struct statement *s;

	f->plan->has_parse = true;
	if (frontend_read_parse(body, &m) != WEIR_OK) {
		note_unnamed_parse(f->plan, slice_of("", 0));
		return;
	}
	if (!m.name.len) {
		note_unnamed_parse(f->plan, body);
	} else {
		f->plan->must_rewrite = true;
		f->plan->has_named_parse = f->plan->makes_statements = true;
		if (is_made_by_sql(f->client, m.name))
			take_name(f, m.name); /* PostgreSQL shall say that it is taken */
	}
	if (f->parsed_count == PARSED_HERE_MAX) { /* forget the oldest */
		memmove(f->parsed, f->parsed + 1, sizeof f->parsed - sizeof f->parsed[0]);
		f->parsed_count--;
	}
	f->parsed[f->parsed_count++] = (struct parsed_here){ m.name, m.sql, m.types };
	s = statement_cache_lookup(f->client->proxy->statements, m.sql);
	f->plan->must_rewrite |= plan_shows_lsn(s);
	fold_parsed(f, s);
}

/* The latest Parse of this request with that name; NULL: none. */
static const struct parsed_here *parsed_here(const struct folding *f, struct slice name)
{
	for (size_t i = f->parsed_count; i-- > 0;)
		if (slice_equal(f->parsed[i].name, name))
			return &f->parsed[i];
	return NULL;
}

/* Describes the statement of that name, or runs it: then `bind` is the body of its Bind. */
static void fold_named(struct folding *f, struct slice name, const struct slice *bind)
{
	struct client *c = f->client;
	const struct parsed_here *here = parsed_here(f, name);
	struct run run = { .bind = bind ? *bind : slice_of("", 0) };
	struct prepared_name *known;
	struct prepared *p;

	if (here && bind) {
		run.sql = here->sql;
		run.types = here->types;
		run.statement = statement_cache_lookup(c->proxy->statements, here->sql);
		fold_run(f, &run);
	}
	if (here)
		return;
	known = name.len ? prepared_names_find(c->names, name) : NULL;
	p = known ? known->prepared : name.len ? NULL : unnamed_prepared(c);
	f->plan->uses_older_unnamed |= !name.len;
	if (name.len && (!p || p->is_sql)) /* made by SQL, or nobody else's must be found */
		take_name(f, name);
	if (name.len || !c->is_unnamed_live)
		f->plan->must_rewrite = true;
	else
		f->plan->has_live_unnamed = true;
	if (!p) {
		if (bind)
			fold_unknown(f->plan, !name.len);
		f->plan->txn.needs_primary = true;
		return;
	}
	if (!bind) {
		fold_parsed(f, p->statement);
		return;
	}
	run.sql = p->text;
	run.statement = p->statement;
	run.types = p->param_types;
	run.prepared = p;
	fold_run(f, &run);
}

static void fold_bind(struct folding *f, struct slice body)
{
	struct msg_bind m;

	f->plan->has_bind = true;
	if (frontend_read_bind(body, &m) != WEIR_OK)
		return;
	f->plan->only_bind = body;
	f->plan->is_irregular |= f->has_bound;
	f->has_bound = true;
	f->bound = m.portal;
	fold_named(f, m.statement, &body);
}

/* Regular is one Execute of all rows for each Bind. */
static void fold_execute(struct folding *f, struct slice body)
{
	struct msg_execute m;

	f->plan->has_execute = true;
	if (!f->has_bound || frontend_read_execute(body, &m) != WEIR_OK || m.max_rows > 0 ||
	    !slice_equal(m.portal, f->bound))
		f->plan->is_irregular = true;
	f->has_bound = false;
	f->plan->completions++;
}

static void fold_target(struct folding *f, char type, struct slice body)
{
	struct msg_target m;

	if (frontend_read_target(body, &m) != WEIR_OK)
		return;
	if (type == FE_CLOSE) {
		f->plan->must_rewrite |= m.kind == 'S';
		return;
	}
	f->plan->has_describe = true;
	if (m.kind == 'S') {
		f->plan->describes_statement = true;
		fold_named(f, m.name, NULL);
	}
}

/*
 * The start of a message too long to keep. A Bind names what it runs; a Parse is left to the
 * server as it is, and if its statement has a name, the client stays where that is known.
 */
static void fold_cut(struct folding *f, struct slice cut)
{
	size_t head = cut.len < FRAME_HEADER_BYTES ? cut.len : (size_t)FRAME_HEADER_BYTES;
	struct reader r = reader_of(slice_of(cut.ptr + head, cut.len - head));
	struct slice name = reader_cstring(&r);
	const struct slice nothing = slice_of("", 0);

	f->plan->txn.needs_primary = true;
	f->plan->must_rewrite = true;
	f->plan->is_irregular = true;
	if (cut.ptr[0] == FE_BIND) {
		f->plan->has_bind = true;
		name = reader_cstring(&r); /* behind the portal's */
		if (reader_status(&r) == WEIR_OK)
			fold_named(f, name, &nothing);
		else
			fold_unknown(f->plan, true);
	} else if (cut.ptr[0] == FE_PARSE) {
		f->plan->has_parse = true;
		fold_unknown(f->plan, true);
		if (reader_status(&r) != WEIR_OK || name.len)
			f->plan->pins |= PIN_SQL_PREPARE;
	}
}

static void fold_extended(struct folding *f, const struct request *req)
{
	struct slice rest = req->bytes;
	struct frame frame;
	size_t used;

	while (rest.len && frame_next(rest, SIZE_MAX, &frame, &used) == WEIR_OK) {
		switch (frame.type) {
		case FE_PARSE:
			fold_parse(f, frame.body);
			break;
		case FE_BIND:
			fold_bind(f, frame.body);
			break;
		case FE_DESCRIBE:
		case FE_CLOSE:
			fold_target(f, frame.type, frame.body);
			break;
		case FE_EXECUTE:
			fold_execute(f, frame.body);
			break;
		default:
			break;
		}
		rest = slice_of(rest.ptr + used, rest.len - used);
	}
	if (rest.len)
		fold_cut(f, rest);
	f->plan->is_irregular |= f->has_bound;
	f->plan->txn.is_unfinished = !req->has_sync;
	if (!f->plan->txn.statement_count && f->plan->has_execute)
		f->plan->txn.needs_primary = true; /* a portal of an earlier request */
}

bool plan_shows_lsn(const struct statement *s)
{
	return s->effect_count == 1 && s->effects[0].kind == EFFECT_SHOW && s->effects[0].name &&
	       !(s->flags & STATEMENT_MULTI) && strcmp(s->effects[0].name, "pgweir.lsn") == 0;
}

/* What pgweir answers, or asks in its own words. */
static void note_single_effect(struct plan *plan, const struct statement *s)
{
	const struct statement_effect *e = s->effects;

	if (s->effect_count != 1 || !e->name || (s->flags & STATEMENT_MULTI))
		return;
	if (e->kind == EFFECT_DEALLOCATE)
		plan->deallocate = slice_str(e->name);
	plan->shows_lsn = plan_shows_lsn(s);
}

static void fold_query(struct folding *f, const struct request *req)
{
	struct slice sql = slice_of("", 0);
	struct slice body = slice_of(req->bytes.ptr + FRAME_HEADER_BYTES,
				     req->bytes.len - FRAME_HEADER_BYTES);
	struct statement *s;

	if (req->missing) { /* longer than what is kept */
		fold_unknown(f->plan, true);
		return;
	}
	if (frontend_read_query(body, &sql) != WEIR_OK)
		sql = slice_of(body.ptr, 0);
	s = statement_cache_lookup(f->client->proxy->statements, sql);
	fold_run(f, &(struct run){ .sql = sql, .statement = s });
	f->plan->completions = s->statement_count;
	note_single_effect(f->plan, s);
}

void plan_make(struct plan *plan, struct client *c, const struct request *req)
{
	struct folding f = { .plan = plan, .client = c };

	memset(plan, 0, sizeof *plan);
	if (req->kind == REQUEST_EXTENDED) {
		fold_extended(&f, req);
	} else if (req->kind == REQUEST_QUERY) {
		fold_query(&f, req);
	} else { /* a function call by oid */
		fold_unknown(plan, true);
	}
	/* What a replica refuses of it couldn't be sent again: see track_has_lasted. */
	if (f.changes_names && (plan->txn.statement_count > 1 || (plan->txn.flags & STATEMENT_MULTI)))
		plan->txn.needs_primary = true;
}

void plan_fini(struct plan *plan)
{
	statement_put(&plan->only);
	for (uint32_t i = 0; i < plan->effect_count; i++) {
		statement_put(&plan->effects[i].statement);
		prepared_put(&plan->effects[i].prepared);
	}
	plan->effect_count = 0;
}
