/* SPDX-License-Identifier: PostgreSQL */
/*
 * A list of channels, each with what is wanted and what the session has; one
 * query at a time brings a part of the second to the first.
 */
#include "tier/channels.h"

#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/loop.h"
#include "sql/quote.h"

enum {
	CHANNELS_MAGIC = 0x6368616e,
	RETRY_FIRST_US = 100 * 1000, /* doubled with each failure */
	RETRY_MAX_US = 5 * 1000 * 1000,
	QUERY_TIMEOUT_US = 10 * 1000 * 1000,
	SQL_MAX = 64 * 1024,
	SQL_FULL = 32 * 1024, /* no further channel in this query */
};

struct channel {
	struct list_node node;
	uint32_t wanted;  /* by so many workers */
	bool is_live;     /* the session listens */
	bool is_running;  /* the query at hand changes is_live */
	char name[];
};

/* PostgreSQL sends a session what was notified before its query, at the latest with the answer. */
struct catch_up {
	struct list_node node;
	uint64_t listener;
	bool is_running; /* the query at hand was sent behind it */
};

struct channels {
	unsigned magic;
	struct pg_session_net net;
	const struct channels_ops *ops; /* borrowed: static */
	void *arg;
	char *database;                 /* owned */
	struct pg_session *session;     /* owned; NULL: no target */
	struct list list;               /* struct channel */
	struct list catch_ups;          /* struct catch_up */
	struct loop_timer timer;
	uint64_t retry_us;              /* after the next failure; 0: none so far */
};

static struct channel *channel_of(struct list_node *n)
{
	return list_entry(n, struct channel, node);
}

static void append_command(struct buf *sql, const char *command, const char *name)
{
	buf_append_str(sql, command);
	buf_append_u8(sql, ' ');
	quote_identifier(sql, slice_str(name));
	buf_append_u8(sql, ';');
}

/* All, or those that the query at hand was for. */
static void tell_caught_up(struct channels *c, bool all)
{
	list_foreach_safe(&c->catch_ups, n, next) {
		struct catch_up *u = list_entry(n, struct catch_up, node);

		if (!all && !u->is_running)
			continue;
		list_remove(&c->catch_ups, n);
		c->ops->on_caught_up(c->arg, u->listener);
		mem_free(u);
	}
}

static void run_catch_ups(struct channels *c)
{
	list_foreach(&c->catch_ups, n)
		list_entry(n, struct catch_up, node)->is_running = true;
}

/* True: there is something to do, and *sql does it. */
static bool next_step(struct channels *c, struct buf *sql)
{
	list_foreach(&c->list, n) {
		struct channel *ch = channel_of(n);

		if (sql->len > SQL_FULL || (ch->wanted > 0) == ch->is_live)
			continue;
		append_command(sql, ch->wanted ? "LISTEN" : "UNLISTEN", ch->name);
		ch->is_running = true;
	}
	if (!sql->len && !c->catch_ups.count)
		return false;
	run_catch_ups(c);
	buf_append_str(sql, "SELECT 1");
	buf_append_u8(sql, '\0');
	return true;
}

static void drop_unwanted(struct channels *c)
{
	list_foreach_safe(&c->list, n, next) {
		struct channel *ch = channel_of(n);

		if (ch->wanted || ch->is_live || ch->is_running)
			continue;
		list_remove(&c->list, n);
		mem_free(ch);
	}
}

static void go_on(struct channels *c)
{
	struct buf sql;

	if (c->session == NULL || c->timer.loop) {
		tell_caught_up(c, true); /* it hears nothing for now */
		return;
	}
	if (pg_session_is_busy(c->session))
		return;
	drop_unwanted(c);
	buf_init(&sql, SQL_MAX);
	if (next_step(c, &sql))
		pg_session_query(c->session, sql.data, QUERY_TIMEOUT_US);
	else if (c->list.count == 0)
		pg_session_close(c->session);
	buf_fini(&sql);
}

static void on_rows(void *arg, const struct pg_rows *rows)
{
	struct channels *c = arg;

	(void)rows;
	WEIR_CHECK_MAGIC(c, CHANNELS_MAGIC);
	c->retry_us = 0;
	list_foreach(&c->list, n) {
		struct channel *ch = channel_of(n);

		if (!ch->is_running)
			continue;
		ch->is_running = false;
		ch->is_live = !ch->is_live;
		if (ch->is_live)
			c->ops->on_listening(c->arg, ch->name);
	}
	tell_caught_up(c, false);
	go_on(c);
}

static void forget_live(struct channels *c)
{
	list_foreach(&c->list, n)
		channel_of(n)->is_live = channel_of(n)->is_running = false;
}

static void on_timer(struct loop_timer *timer)
{
	struct channels *c = (struct channels *)(void *)((char *)timer -
							 offsetof(struct channels, timer));

	WEIR_CHECK_MAGIC(c, CHANNELS_MAGIC);
	go_on(c);
}

static void on_failed(void *arg, const char *reason)
{
	struct channels *c = arg;

	WEIR_CHECK_MAGIC(c, CHANNELS_MAGIC);
	if (c->retry_us == 0)
		log_warn("listening_failed", "database=%s reason=\"%s\"", c->database, reason);
	c->retry_us = c->retry_us ? c->retry_us * 2 : RETRY_FIRST_US;
	if (c->retry_us > RETRY_MAX_US)
		c->retry_us = RETRY_MAX_US;
	forget_live(c);
	loop_timer_cancel(&c->timer);
	loop_timer_arm(c->net.loop, &c->timer, c->retry_us, on_timer);
	tell_caught_up(c, true);
}

static void on_notification(void *arg, const struct pg_notification *n)
{
	struct channels *c = arg;

	WEIR_CHECK_MAGIC(c, CHANNELS_MAGIC);
	c->ops->on_notification(c->arg, n);
}

static const struct pg_session_ops session_ops = { on_rows, on_failed, on_notification };

struct channels *channels_create(const struct pg_session_net *net, const struct channels_ops *ops,
				 void *arg, const char *database)
{
	struct channels *c = mem_zalloc(sizeof *c);

	c->magic = CHANNELS_MAGIC;
	c->net = *net;
	c->ops = ops;
	c->arg = arg;
	c->database = mem_strdup(database);
	list_init(&c->list);
	list_init(&c->catch_ups);
	return c;
}

void channels_destroy(struct channels *c)
{
	struct list_node *n;

	if (c == NULL)
		return;
	WEIR_CHECK_MAGIC(c, CHANNELS_MAGIC);
	loop_timer_cancel(&c->timer);
	pg_session_destroy(c->session);
	while ((n = list_pop(&c->list)) != NULL)
		mem_free(channel_of(n));
	while ((n = list_pop(&c->catch_ups)) != NULL)
		mem_free(list_entry(n, struct catch_up, node));
	mem_free(c->database);
	c->magic = 0;
	mem_free(c);
}

void channels_target(struct channels *c, const struct pg_session_target *target)
{
	WEIR_CHECK_MAGIC(c, CHANNELS_MAGIC);
	if (target && c->session && pg_session_is_for(c->session, target))
		return; /* a reload: nothing notified meanwhile is to be missed */
	loop_timer_cancel(&c->timer);
	pg_session_destroy(c->session);
	c->session = target ? pg_session_create(&c->net, target, &session_ops, c) : NULL;
	c->retry_us = 0;
	forget_live(c);
	tell_caught_up(c, true);
	go_on(c);
}

static struct channel *find(struct channels *c, const char *name)
{
	list_foreach(&c->list, n)
		if (strcmp(channel_of(n)->name, name) == 0)
			return channel_of(n);
	return NULL;
}

void channels_want(struct channels *c, const char *name)
{
	struct channel *ch = find(c, name);

	WEIR_CHECK_MAGIC(c, CHANNELS_MAGIC);
	if (ch == NULL) {
		ch = mem_zalloc(sizeof *ch + strlen(name) + 1);
		memcpy(ch->name, name, strlen(name) + 1);
		list_append(&c->list, &ch->node);
	}
	ch->wanted++;
	if (ch->is_live && !ch->is_running)
		c->ops->on_listening(c->arg, name);
	go_on(c);
}

void channels_unwant(struct channels *c, const char *name)
{
	struct channel *ch = find(c, name);

	WEIR_CHECK_MAGIC(c, CHANNELS_MAGIC);
	if (ch && ch->wanted)
		ch->wanted--;
	go_on(c);
}

void channels_catch_up(struct channels *c, uint64_t listener)
{
	struct catch_up *u = mem_zalloc(sizeof *u);

	WEIR_CHECK_MAGIC(c, CHANNELS_MAGIC);
	u->listener = listener;
	list_append(&c->catch_ups, &u->node);
	go_on(c);
}
