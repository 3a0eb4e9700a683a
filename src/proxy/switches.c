/* SPDX-License-Identifier: PostgreSQL */
/*
 * As PostgreSQL does it (pg_split_opts, process_postgres_switches): words are split
 * at blanks and read as getopt() reads them. Several switches without an argument may
 * share a word; a word that is no switch is only an error once all switches were taken.
 */
#include "proxy/switches.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"

enum { NUMBER_MAX = 16, DEBUG_LEVELS = 5 };

/* Without a name it changes nothing in a session; without a value its argument is the value. */
static const struct switch_row {
	char letter;
	bool has_argument;
	const char *name, *value;
} rows[] = {
	{ '-', true, NULL, NULL },
	{ 'B', true, "shared_buffers", NULL },
	{ 'C', true, NULL, NULL },
	{ 'D', true, NULL, NULL },
	{ 'E', false, NULL, NULL },
	{ 'F', false, "fsync", "false" },
	{ 'N', true, "max_connections", NULL },
	{ 'O', false, "allow_system_table_mods", "true" },
	{ 'P', false, "ignore_system_indexes", "true" },
	{ 'S', true, "work_mem", NULL },
	{ 'T', false, NULL, NULL },
	{ 'W', true, "post_auth_delay", NULL },
	{ 'b', false, NULL, NULL },
	{ 'c', true, NULL, NULL },
	{ 'd', true, NULL, NULL },
	{ 'e', false, "datestyle", "euro" },
	{ 'f', true, NULL, "false" },
	{ 'h', true, "listen_addresses", NULL },
	{ 'i', false, "listen_addresses", "*" },
	{ 'j', false, NULL, NULL },
	{ 'k', true, "unix_socket_directories", NULL },
	{ 'l', false, "ssl", "true" },
	{ 'n', false, NULL, NULL },
	{ 'p', true, "port", NULL },
	{ 'r', true, NULL, NULL },
	{ 's', false, "log_statement_stats", "true" },
	{ 't', true, NULL, "true" },
	{ 'v', true, NULL, NULL },
};

static const struct {
	char letter;
	const char *argument, *name;
} choices[] = {
	{ 'f', "b", "enable_bitmapscan" }, { 'f', "h", "enable_hashjoin" },
	{ 'f', "i", "enable_indexscan" },  { 'f', "m", "enable_mergejoin" },
	{ 'f', "n", "enable_nestloop" },   { 'f', "o", "enable_indexonlyscan" },
	{ 'f', "s", "enable_seqscan" },    { 'f', "t", "enable_tidscan" },
	{ 't', "e", "log_executor_stats" }, { 't', "pa", "log_parser_stats" },
	{ 't', "pl", "log_planner_stats" },
};

struct scan {
	struct slice rest; /* behind the word */
	struct buf word;   /* owned */
	switches_on_setting on_setting;
	void *ctx; /* of on_setting */
	struct pg_error *error;
};

/* The next word; a backslash keeps what follows. False: there is none, and the last one stays. */
static bool next_word(struct scan *s)
{
	struct slice rest = s->rest;
	size_t i = 0;

	while (i < rest.len && isspace((unsigned char)rest.ptr[i]))
		i++;
	if (i == rest.len)
		return false;
	buf_clear(&s->word);
	for (; i < rest.len && !isspace((unsigned char)rest.ptr[i]); i++) {
		if (rest.ptr[i] == '\\' && ++i == rest.len)
			break;
		buf_append(&s->word, rest.ptr + i, 1);
	}
	s->rest = slice_of(rest.ptr + i, rest.len - i);
	return true;
}

static enum weir_err refuse_word(struct scan *s, struct slice word)
{
	pg_error_set(s->error, "42601", "invalid command-line argument for server process: %.*s",
		     (int)word.len, word.ptr);
	snprintf(s->error->hint, sizeof s->error->hint,
		 "Try \"postgres --help\" for more information.");
	return WEIR_ERR_PROTOCOL;
}

static enum weir_err set(struct scan *s, const char *name, const char *value)
{
	return s->on_setting(s->ctx, slice_str(name), slice_str(value), s->error);
}

static enum weir_err set_assigned(struct scan *s, char letter, struct slice text)
{
	const char *equals = memchr(text.ptr, '=', text.len);
	size_t at;

	if (!equals) {
		pg_error_set(s->error, "42601", "%s%.*s requires a value",
			     letter == '-' ? "--" : "-c ", (int)text.len, text.ptr);
		return WEIR_ERR_PROTOCOL;
	}
	at = (size_t)(equals - text.ptr);
	return s->on_setting(s->ctx, slice_of(text.ptr, at),
			     slice_of(equals + 1, text.len - at - 1), s->error);
}

static enum weir_err set_debug(struct scan *s, struct slice argument)
{
	static const char *const settings[DEBUG_LEVELS][2] = {
		{ NULL, NULL },
		{ "log_statement", "all" },
		{ "debug_print_parse", "true" },
		{ "debug_print_plan", "true" },
		{ "debug_print_rewritten", "true" },
	};
	char number[NUMBER_MAX], value[NUMBER_MAX + 8];
	enum weir_err err;
	long level;

	snprintf(number, sizeof number, "%.*s", (int)argument.len, argument.ptr);
	level = strtol(number, NULL, 10);
	snprintf(value, sizeof value, "debug%ld", level);
	err = set(s, "log_min_messages", level > 0 ? value : "notice");
	for (long i = 1; !err && i < level && i < DEBUG_LEVELS; i++)
		err = set(s, settings[i][0], settings[i][1]);
	return err;
}

/* By how the argument begins; NULL: by nothing that is known. */
static const char *chosen_setting(char letter, struct slice argument)
{
	for (size_t i = 0; i < WEIR_COUNTOF(choices); i++) {
		size_t len = strlen(choices[i].argument);

		if (choices[i].letter == letter && argument.len >= len &&
		    memcmp(argument.ptr, choices[i].argument, len) == 0)
			return choices[i].name;
	}
	return NULL;
}

static enum weir_err take_switch(struct scan *s, const struct switch_row *row,
				 struct slice argument)
{
	const char *name = row->name;

	switch (row->letter) {
	case 'c':
	case '-':
		return set_assigned(s, row->letter, argument);
	case 'd':
		return set_debug(s, argument);
	case 'f':
	case 't':
		name = chosen_setting(row->letter, argument);
		if (!name)
			return refuse_word(s, buf_slice(&s->word));
		break;
	default:
		break;
	}
	if (!name)
		return WEIR_OK;
	return s->on_setting(s->ctx, slice_str(name),
			     row->value ? slice_str(row->value) : argument, s->error);
}

static const struct switch_row *row_of(char letter)
{
	for (size_t i = 0; i < WEIR_COUNTOF(rows); i++)
		if (rows[i].letter == letter)
			return &rows[i];
	return NULL;
}

/* The rest of the word, or the next one. False: there is none. */
static bool take_argument(struct scan *s, size_t at, struct slice *argument)
{
	if (at == s->word.len) {
		if (!next_word(s))
			return false;
		at = 0;
	}
	*argument = slice_of(s->word.data + at, s->word.len - at);
	return true;
}

/* All switches of a word; one with an argument is the last. */
static enum weir_err take_word(struct scan *s)
{
	bool is_last = false;

	for (size_t at = 1; !is_last && at < s->word.len; at++) {
		const struct switch_row *row = row_of(s->word.data[at]);
		struct slice argument = slice_of("", 0);
		enum weir_err err;

		is_last = row && row->has_argument;
		if (!row || (is_last && !take_argument(s, at + 1, &argument)))
			return refuse_word(s, buf_slice(&s->word));
		err = take_switch(s, row, argument);
		if (err)
			return err;
	}
	return WEIR_OK;
}

enum weir_err switches_take(struct slice options, switches_on_setting on_setting, void *ctx,
			    struct pg_error *e)
{
	struct scan s = { .rest = options, .on_setting = on_setting, .ctx = ctx, .error = e };
	enum weir_err err = WEIR_OK, other = WEIR_OK;
	bool is_over = false;

	buf_init(&s.word, options.len);
	if (options.len && !buf_reserve(&s.word, options.len))
		return WEIR_ERR_MEMORY;
	while (!err && next_word(&s)) {
		struct slice word = buf_slice(&s.word);

		if (!is_over && slice_is(word, "--"))
			is_over = true;
		else if (!is_over && word.len > 1 && word.ptr[0] == '-')
			err = take_word(&s);
		else if (!other)
			other = refuse_word(&s, word);
	}
	buf_fini(&s.word);
	return err ? err : other;
}
