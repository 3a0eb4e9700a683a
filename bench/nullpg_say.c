/* SPDX-License-Identifier: PostgreSQL */
/*
 * The null server's answers. It understands of SQL what decides the shape of
 * an answer: the first word of a statement, where it ends, and the name and
 * value of a SET, because a pooler waits for the ParameterStatus.
 */
#include "nullpg.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

char *bytes_room(struct bytes *b, size_t more)
{
	if (b->cap - b->len < more) {
		b->cap = (b->len + more) * 2;
		b->data = realloc(b->data, b->cap);
		if (!b->data)
			abort();
	}
	return b->data + b->len;
}

void bytes_add(struct bytes *b, const void *data, size_t len)
{
	memcpy(bytes_room(b, len), data, len);
	b->len += len;
}

static const struct {
	const char *name, *value;
} settings[] = {
	{ "application_name", "" },
	{ "client_encoding", "UTF8" },
	{ "DateStyle", "ISO, MDY" },
	{ "default_transaction_read_only", "off" },
	{ "in_hot_standby", "off" },
	{ "integer_datetimes", "on" },
	{ "IntervalStyle", "postgres" },
	{ "is_superuser", "off" },
	{ "server_encoding", "UTF8" },
	{ "server_version", "15.0 (null)" },
	{ "session_authorization", "bench" },
	{ "standard_conforming_strings", "on" },
	{ "TimeZone", "UTC" },
};

enum { SETTINGS = sizeof settings / sizeof *settings };

static const struct {
	const char *word;
	enum statement_kind kind;
} words[] = {
	{ "SELECT", KIND_ROW },   { "SHOW", KIND_ROW },      { "VALUES", KIND_ROW },
	{ "WITH", KIND_ROW },     { "TABLE", KIND_ROW },     { "FETCH", KIND_ROW },
	{ "BEGIN", KIND_BEGIN },  { "START", KIND_BEGIN },   { "COMMIT", KIND_END },
	{ "END", KIND_END },      { "ROLLBACK", KIND_END },  { "ABORT", KIND_END },
	{ "SET", KIND_SET },      { "COPY", KIND_COPY_OUT }, { "UPDATE", KIND_COUNT },
	{ "DELETE", KIND_COUNT }, { "INSERT", KIND_COUNT },
};

static const char *skip(const char *at, const char *end, const char *set)
{
	while (at < end && *at && strchr(set, *at))
		at++;
	return at;
}

/* The end of the statement: a semicolon outside quotes, or the end of the text. */
static const char *statement_end(const char *at, const char *end)
{
	char quote = 0;

	for (; at < end; at++) {
		if (quote)
			quote = *at == quote ? 0 : quote;
		else if (*at == '\'' || *at == '"')
			quote = *at;
		else if (*at == ';')
			break;
	}
	return at;
}

/* SET name {TO | =} value: name and value of a reported setting. */
static void read_setting(const char *at, const char *end, struct statement *out)
{
	size_t n = 0;

	out->setting = NULL;
	at = skip(at, end, " \t\n");
	for (size_t i = 0; i < SETTINGS; i++) {
		size_t len = strlen(settings[i].name);

		if ((size_t)(end - at) > len && strncasecmp(at, settings[i].name, len) == 0) {
			out->setting = settings[i].name;
			at += len;
			break;
		}
	}
	if (!out->setting)
		return;
	at = skip(at, end, " \t\n=");
	if (end - at > 3 && strncasecmp(at, "to ", 3) == 0)
		at = skip(at + 3, end, " ");
	if (end - at > 1 && at[1] == '\'')
		at++; /* E'...' */
	for (; at < end && n < sizeof out->value - 1; at++)
		if (*at != '\'' && *at != '"')
			out->value[n++] = *at;
	out->value[n] = '\0';
}

bool statement_read(const char **at, const char *end, struct statement *out)
{
	const char *p = skip(*at, end, " \t\r\n;("), *stop = statement_end(p, end);
	size_t n = 0;

	memset(out, 0, sizeof *out);
	*at = stop;
	for (; p < stop && isalpha((unsigned char)*p) && n < WORD_MAX - 1; p++)
		out->word[n++] = (char)toupper((unsigned char)*p);
	if (n == 0)
		return false;
	out->kind = KIND_OTHER;
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (strcmp(out->word, words[i].word) == 0)
			out->kind = words[i].kind;
	if (out->kind == KIND_SET)
		read_setting(p, stop, out);
	return true;
}

void say_message(struct bytes *out, char type, const void *body, size_t len)
{
	char *at = bytes_room(out, len + 5);
	uint32_t be = htonl((uint32_t)len + 4);

	at[0] = type;
	memcpy(at + 1, &be, 4);
	memcpy(at + 5, body, len);
	out->len += len + 5;
}

static void say_setting(struct bytes *out, const char *name, const char *value)
{
	char body[256];
	int len = snprintf(body, sizeof body, "%s%c%s", name, 0, value);

	say_message(out, 'S', body, (size_t)len + 1);
}

void say_greeting(struct bytes *out)
{
	static const char key[8] = { 0, 0, 0x10, 0x01, 0x20, 0x02, 0x30, 0x03 };

	say_message(out, 'R', "\0\0\0\0", 4);
	for (size_t i = 0; i < SETTINGS; i++)
		say_setting(out, settings[i].name, settings[i].value);
	say_message(out, 'K', key, sizeof key);
}

void say_ready(struct bytes *out, const struct session_state *state)
{
	say_message(out, 'Z', state->in_transaction ? "T" : "I", 1);
}

/* One column "n" of type int4. */
void say_description(struct bytes *out, const struct statement *s)
{
	static const char column[] = "\0\1"
								 "n\0"
								 "\0\0\0\0\0\0"
								 "\0\0\0\x17\0\4\xff\xff\xff\xff\0";

	if (s->kind == KIND_ROW)
		say_message(out, 'T', column, sizeof column);
	else
		say_message(out, 'n', "", 0);
}

static void say_tag(struct bytes *out, const char *word, const char *rest)
{
	char tag[64];
	int len = snprintf(tag, sizeof tag, "%s%s", word, rest);

	say_message(out, 'C', tag, (size_t)len + 1);
}

void say_execution(struct bytes *out, const struct statement *s, struct session_state *state,
                   uint64_t copy_rows)
{
	switch (s->kind) {
	case KIND_EMPTY:
		say_message(out, 'I', "", 0);
		return;
	case KIND_ROW:
		say_message(out, 'D',
		            "\0\1\0\0\0\1"
		            "1",
		            7);
		say_tag(out, s->word, " 1");
		return;
	case KIND_COUNT:
		say_tag(out, s->word, s->word[0] == 'I' ? " 0 1" : " 1");
		return;
	case KIND_COPY_OUT:
		say_message(out, 'H', "\0\0\1\0\0", 5);
		state->copy_rows_left = copy_rows;
		return;
	case KIND_BEGIN:
		state->in_transaction = true;
		break;
	case KIND_END:
		state->in_transaction = false;
		break;
	case KIND_SET:
		if (s->setting)
			say_setting(out, s->setting, s->value);
		break;
	case KIND_OTHER:
		break;
	}
	say_tag(out, s->word, "");
}

bool say_copy(struct bytes *out, struct session_state *state, size_t until, uint64_t copy_rows)
{
	static char row[COPY_ROW_BYTES];
	char count[32];

	if (!row[0]) {
		memset(row, 'n', sizeof row - 1);
		row[sizeof row - 1] = '\n';
	}
	while (state->copy_rows_left > 0 && out->len < until) {
		say_message(out, 'd', row, sizeof row);
		state->copy_rows_left--;
	}
	if (state->copy_rows_left > 0)
		return false;
	snprintf(count, sizeof count, " %llu", (unsigned long long)copy_rows);
	say_message(out, 'c', "", 0);
	say_tag(out, "COPY", count);
	return true;
}
