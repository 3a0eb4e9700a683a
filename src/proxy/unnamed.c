/* SPDX-License-Identifier: PostgreSQL */
/*
 * On the path of every extended query: a copy into a block that the client keeps, and
 * nothing more. Whether the Parse succeeded is asked for only when there is an error:
 * each segment counts the ParseCompletes still due (replies.h).
 */
#include "proxy/unnamed.h"

#include <string.h>

#include "base/mem.h"
#include "proxy/local.h"
#include "wire/frontend.h"

enum {
	STEP_BYTES = 64,
	KEPT_BYTES = 1024, /* a block up to this stays, whatever is put into it */
};

struct unnamed {
	struct prepared *prepared; /* counted: interned; NULL: not yet */
	uint32_t len, cap;         /* len 0: there is none */
	char parse[];              /* body of the Parse */
};

static struct unnamed *block_resize(struct client *c, uint32_t cap)
{
	struct unnamed *u = c->unnamed;
	size_t before = u ? u->cap : 0;

	u = mem_realloc(u, sizeof *u + cap);
	if (!c->unnamed) {
		u->prepared = NULL;
		c->proxy->unnamed_count++;
	}
	u->len = 0;
	u->cap = cap;
	c->proxy->unnamed_bytes += cap;
	c->proxy->unnamed_bytes -= before;
	c->unnamed = u;
	return u;
}

/* NULL: too much is kept already, and nothing of this client's now. */
static struct unnamed *block_fit(struct client *c, size_t len)
{
	const struct proxy *p = c->proxy;
	size_t before = c->unnamed ? c->unnamed->cap : 0;
	size_t cap = (len + STEP_BYTES - 1) / STEP_BYTES * STEP_BYTES;
	size_t share = p->settings->config->global.prepared_total_bytes / p->shared->worker_count;

	if (cap > before && p->unnamed_bytes - before + cap > share) {
		unnamed_end(c);
		return NULL;
	}
	return block_resize(c, (uint32_t)cap);
}

void unnamed_parsed(struct client *c, struct slice parse)
{
	struct unnamed *u = c->unnamed;

	if (u && u->prepared)
		prepared_put(&u->prepared);
	if (!u || parse.len > u->cap || (u->cap > KEPT_BYTES && parse.len <= KEPT_BYTES))
		u = block_fit(c, parse.len);
	if (!u)
		return;
	memcpy(u->parse, parse.ptr, parse.len);
	u->len = (uint32_t)parse.len;
}

void unnamed_end(struct client *c)
{
	struct unnamed *u = c->unnamed;

	if (!u)
		return;
	prepared_put(&u->prepared);
	u->len = 0;
}

void unnamed_free(struct client *c)
{
	struct unnamed *u = c->unnamed;

	if (!u)
		return;
	unnamed_end(c);
	c->proxy->unnamed_bytes -= u->cap;
	c->proxy->unnamed_count--;
	mem_free(u);
	c->unnamed = NULL;
}

struct prepared *unnamed_prepared(struct client *c)
{
	struct proxy *p = c->proxy;
	struct unnamed *u = c->unnamed;
	struct msg_parse m;

	if (!u || !u->len)
		return NULL;
	if (!u->prepared && frontend_read_parse(slice_of(u->parse, u->len), &m) == WEIR_OK) {
		m.sql = local_sql(c, m.sql);
		u->prepared = prepared_intern(p->prepared, m.sql, m.types,
					      statement_cache_lookup(p->statements, m.sql));
	}
	return u->prepared;
}

/* What is kept is that of a later Parse, if one is under way. */
void unnamed_closed(struct client *c, const struct replies *r)
{
	if (!replies_unnamed_due(r))
		unnamed_end(c);
}

void unnamed_refused(struct client *c, struct replies *r)
{
	struct reply_segment *seg = replies_current(r);

	if (!seg->unnamed_due)
		return;
	seg->unnamed_due = 0;
	unnamed_closed(c, r);
}
