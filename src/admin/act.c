/* SPDX-License-Identifier: PostgreSQL */
/*
 * Commands that change something: orders to the worker layer, SET, and what
 * drivers say without meaning it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "admin/command.h"
#include "admin/private.h"
#include "config/value.h"

enum { DATABASE_NAME_MAX = 1024, SET_TAG_MAX = 512 };

static void on_ordered(void *ctx, const struct pg_error *err)
{
	struct admin_request *request = ctx;
	char tag[32];

	if (err) {
		build_error(&request->out, "ERROR", err);
	} else {
		/* The tag is the first word. */
		snprintf(tag, sizeof(tag), "%.*s", (int)strcspn(request->command->words, " "),
		         request->command->words);
		build_command_complete(&request->out, tag);
	}
	request_finish(request);
}

static void order_give(struct show *s, enum admin_action action, const char *database, uint64_t id)
{
	struct admin_order order = { .action = action, .database = database, .id = id };

	s->is_pending = true;
	s->source->act(s->source->ctx, &order, on_ordered, s->request);
}

/* About one database, or all when none is named. verb: what can't be done to the console's. */
static void order_database(struct show *s, enum admin_action action, const char *verb)
{
	char name[DATABASE_NAME_MAX];
	bool is_ours;

	if (!command_word(s->argument, name, sizeof(name))) {
		command_fail(s, "42601", "one database name is expected");
		return;
	}
	is_ours = config_is_admin_database(slice_str(name));
	if (is_ours && action != ADMIN_RESUME) /* it is never paused, and will be told so */
		command_fail(s, "42809", "cannot %s admin db: %s", verb, name);
	else if (name[0] && !is_ours && !config_database_find(s->cfg, slice_str(name)))
		command_fail(s, "3D000", "no such database: %.100s", name);
	else
		order_give(s, action, name, 0);
}

static void order_named_database(struct show *s, enum admin_action action, const char *verb)
{
	if (s->argument.len)
		order_database(s, action, verb);
	else
		command_fail(s, "42601", "a database is required");
}

void act_reload(struct show *s)
{
	order_give(s, ADMIN_RELOAD, "", 0);
}

void act_pause(struct show *s)
{
	order_database(s, ADMIN_PAUSE, "pause");
}

void act_resume(struct show *s)
{
	order_database(s, ADMIN_RESUME, "resume");
}

void act_disable(struct show *s)
{
	order_named_database(s, ADMIN_DISABLE, "disable");
}

void act_enable(struct show *s)
{
	order_named_database(s, ADMIN_ENABLE, "enable");
}

void act_wait_close(struct show *s)
{
	order_database(s, ADMIN_WAIT_CLOSE, "wait in");
}

void act_reconnect(struct show *s)
{
	order_database(s, ADMIN_RECONNECT, "reconnect");
}

void act_kill(struct show *s)
{
	order_database(s, ADMIN_KILL, "kill");
}

void act_kill_client(struct show *s)
{
	char text[32], *end = text;
	uint64_t id = 0;

	if (command_word(s->argument, text, sizeof(text)) && text[0] >= '0' && text[0] <= '9')
		id = strtoull(text, &end, 10);
	if (id == 0 || *end)
		command_fail(s, "22023", "a client's id is expected, as SHOW CLIENTS shows it");
	else
		order_give(s, ADMIN_KILL_CLIENT, "", id);
}

void act_shutdown(struct show *s)
{
	order_give(s, ADMIN_SHUTDOWN, "", 0);
}

void act_shutdown_clients(struct show *s)
{
	order_give(s, ADMIN_SHUTDOWN_CLIENTS, "", 0);
}

void act_shutdown_servers(struct show *s)
{
	order_give(s, ADMIN_SHUTDOWN_SERVERS, "", 0);
}

void act_cache_clear(struct show *s)
{
	order_give(s, ADMIN_CACHE_CLEAR, "", 0);
}

/* --- SET --------------------------------------------------------------------------- */

/* What drivers set at log-in: accepted, without effect. */
static bool is_session_setting(struct slice name)
{
	static const char *const names[] = {
		"client_encoding",
		"datestyle",
		"timezone",
		"time",
		"standard_conforming_strings",
		"extra_float_digits",
		"application_name",
		"default_transaction_isolation",
		"client_min_messages",
		"intervalstyle",
		"search_path",
		"statement_timeout",
		"session",
		"transaction",
		"bytea_output",
	};

	for (size_t i = 0; i < WEIR_COUNTOF(names); i++)
		if (slice_is_nocase(name, names[i]))
			return true;
	return false;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* name = value, or name TO value; the value without its quotes. */
static bool split_setting(struct slice text, struct slice *name, char *value, size_t size)
{
	size_t n = 0;

	while (n < text.len && !is_space(text.ptr[n]) && text.ptr[n] != '=')
		n++;
	*name = slice_of(text.ptr, n);
	text = command_trim(slice_of(text.ptr + n, text.len - n));
	if (text.len && text.ptr[0] == '=')
		n = 1;
	else if (text.len > 2 && slice_is_nocase(slice_of(text.ptr, 2), "to") && is_space(text.ptr[2]))
		n = 3;
	else
		return false;
	text = command_trim(slice_of(text.ptr + n, text.len - n));
	if (command_word(text, value, size))
		return true;
	/* A bare value of several words, such as an address list. */
	if (text.len == 0 || text.len >= size || text.ptr[0] == '\'' || text.ptr[0] == '"')
		return false;
	snprintf(value, size, "%.*s", (int)text.len, text.ptr);
	return true;
}

static void option_change(struct show *s, const struct option *o, const char *value)
{
	char tag[SET_TAG_MAX], why[PG_ERROR_MESSAGE_MAX];
	struct config_error err;
	struct config *changed;
	struct buf shown;

	if (o->needs_restart) {
		command_fail(s, "55P02", "%s cannot be changed without a restart", o->name);
		return;
	}
	changed = config_with(s->cfg, slice_str(o->name), slice_str(value), &err);
	if (!changed) {
		command_fail(s, "22023", "%s: %s", o->name, err.message);
		return;
	}
	buf_init(&shown, SET_TAG_MAX); /* secrets stay hidden in it */
	option_print(o, &changed->global, &shown);
	snprintf(tag, sizeof(tag), "SET %s=%.*s", o->name, (int)shown.len, shown.data);
	buf_fini(&shown);
	if (s->source->publish(s->source->ctx, changed, why, sizeof(why)))
		command_done(s, tag);
	else
		command_fail(s, "22023", "%s", why);
}

static void ignore_setting(struct show *s)
{
	struct pg_error said;

	pg_error_set(&said, "00000", "SET ignored");
	build_notice(s->out, "NOTICE", &said);
	command_done(s, "SET");
}

void set_option(struct show *s)
{
	char value[4096];
	struct slice name;
	const struct option *o;
	bool is_pair = split_setting(s->argument, &name, value, sizeof(value));

	o = option_find(OPTION_SCOPE_GLOBAL, name);
	if (is_session_setting(name))
		ignore_setting(s);
	else if (!is_pair)
		command_fail(s, "42601", "SET option = value is expected");
	else if (s->request->role != ADMIN_ROLE_ADMIN)
		command_fail(s, "42501", "admin access needed");
	else if (!o)
		command_fail(s, "42704", "unrecognized configuration parameter \"%.*s\"",
		             (int)(name.len > 63 ? 63 : name.len), name.ptr);
	else
		option_change(s, o, value);
}

void accept_begin(struct show *s)
{
	command_done(s, "BEGIN");
}

void accept_commit(struct show *s)
{
	command_done(s, "COMMIT");
}

void accept_rollback(struct show *s)
{
	command_done(s, "ROLLBACK");
}
