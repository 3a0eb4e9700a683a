/* SPDX-License-Identifier: PostgreSQL */
/*
 * One query with a part for each reason at hand; its one column has a letter for
 * each that is still there. Operators are qualified: the search_path is the
 * client's.
 */
#include "proxy/unpin.h"

#include "base/log.h"
#include "pool/session.h"
#include "proxy/backend.h"
#include "proxy/link.h"
#include "wire/reader.h"

enum { CHECK_SQL_MAX = 4096 };

#define IS " OPERATOR(pg_catalog.=) "
#define IN_TEMP_SCHEMA(catalog, column)                                              \
	"EXISTS (SELECT 1 FROM pg_catalog." catalog " WHERE " column IS               \
	"pg_catalog.pg_my_temp_schema())"

static const struct {
	uint32_t pin;
	char letter;
	const char *is_there;
} checks[] = {
	{ PIN_TEMP_TABLE, 't',
	  IN_TEMP_SCHEMA("pg_class", "relnamespace") " OR "
	  IN_TEMP_SCHEMA("pg_proc", "pronamespace") " OR "
	  IN_TEMP_SCHEMA("pg_type", "typnamespace") },
	{ PIN_ADVISORY_LOCK, 'a',
	  "EXISTS (SELECT 1 FROM pg_catalog.pg_locks WHERE locktype" IS "'advisory' AND pid" IS
	  "pg_catalog.pg_backend_pid())" },
	{ PIN_HOLD_CURSOR, 'c',
	  "EXISTS (SELECT 1 FROM pg_catalog.pg_cursors WHERE is_holdable)" },
};

static uint32_t checkable(void)
{
	uint32_t pins = 0;

	for (size_t i = 0; i < WEIR_COUNTOF(checks); i++)
		pins |= checks[i].pin;
	return pins;
}

static void append_check(struct buf *sql, uint32_t pins)
{
	buf_append_str(sql, "SELECT pg_catalog.concat(''");
	for (size_t i = 0; i < WEIR_COUNTOF(checks); i++)
		if (pins & checks[i].pin)
			buf_appendf(sql, ", CASE WHEN %s THEN '%c' END", checks[i].is_there,
				    checks[i].letter);
	buf_append_str(sql, ")");
}

void unpin_ask(struct client *c)
{
	struct server *s = c->server;
	struct buf sql;

	if (!c->pins_in_doubt || !c->pins || (c->pins & ~checkable()) || !s ||
	    c->txn.state != TXN_IDLE || s->txn_status != 'I' || replies_count(&s->replies) ||
	    c->stream_left || c->tenant->pool_mode == POOL_MODE_SESSION)
		return;
	c->pins_in_doubt = false;
	c->pins_asked = c->pins;
	c->pins_left = c->pins;
	buf_init(&sql, CHECK_SQL_MAX);
	append_check(&sql, c->pins);
	replies_add(&s->replies, REPLY_PINS, true);
	s->watch |= WATCH_PINS;
	link_send_query(c, buf_slice(&sql));
	buf_fini(&sql);
	stat_add(&c->tenant->stats->unpin_checks, 1);
}

void unpin_take_row(struct client *c, struct slice body)
{
	struct reader r = reader_of(body);
	struct slice letters;

	if (reader_u16(&r) != 1)
		return;
	letters = reader_bytes(&r, reader_u32(&r));
	if (reader_status(&r) != WEIR_OK)
		return;
	for (size_t i = 0; i < WEIR_COUNTOF(checks); i++)
		if (!memchr(letters.ptr, checks[i].letter, letters.len))
			c->pins_left &= (uint16_t)~checks[i].pin;
}

bool unpin_done(struct client *c)
{
	struct server *s = c->server;
	uint32_t gone = c->pins_asked & ~c->pins_left;

	s->watch &= (uint8_t)~WATCH_PINS;
	if (c->state != CLIENT_IDLE || c->txn.state != TXN_IDLE || replies_count(&s->replies)) {
		c->pins_in_doubt = true;
		return false;
	}
	if (!gone)
		return false;
	c->pins &= (uint16_t)~gone;
	log_debug("client_unpinned", "id=%llu gone=%#x left=%#x", (unsigned long long)c->id, gone,
		  c->pins);
	if (c->pins)
		return false;
	stat_add(&c->tenant->stats->unpins, 1);
	if (!client_is_free(c) || conn_kept_bytes(&c->conn))
		return false;
	link_release(c);
	return true;
}
