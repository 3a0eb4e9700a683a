/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the null server says: pure functions from a statement to the messages of
 * its answer. No I/O; one thread.
 */
#ifndef WEIR_BENCH_NULLPG_H
#define WEIR_BENCH_NULLPG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A growing byte string; bytes before `sent` have left. */
struct bytes {
	char *data;
	size_t len, cap, sent;
};
char *bytes_room(struct bytes *b, size_t more); /* never NULL */
void bytes_add(struct bytes *b, const void *data, size_t len);

enum statement_kind {
	KIND_EMPTY,
	KIND_ROW, /* answers with one row */
	KIND_BEGIN,
	KIND_END,
	KIND_SET,
	KIND_COPY_OUT, /* answers with a stream */
	KIND_COUNT,    /* UPDATE and the like: the tag has a count */
	KIND_OTHER,    /* the tag is the first word */
};

enum { WORD_MAX = 20, SETTING_MAX = 64 };

struct statement {
	enum statement_kind kind;
	char word[WORD_MAX]; /* first word, upper case */
	const char *setting; /* KIND_SET: reported setting, static; NULL: another one */
	char value[SETTING_MAX];
};

/* Reads one statement off the front of [*at, end); false: nothing but blanks was left. */
bool statement_read(const char **at, const char *end, struct statement *out);

struct session_state {
	bool in_transaction;
	uint64_t copy_rows_left; /* of a stream that has begun */
};

void say_greeting(struct bytes *out);
void say_ready(struct bytes *out, const struct session_state *state);
void say_message(struct bytes *out, char type, const void *body, size_t len);
void say_description(struct bytes *out, const struct statement *s); /* RowDescription or NoData */
/* Row, settings and tag; begins a stream for KIND_COPY_OUT. */
void say_execution(struct bytes *out, const struct statement *s, struct session_state *state,
                   uint64_t copy_rows);
/* About `until` bytes of the stream into an empty `out`; true: it has ended, tag and all. */
bool say_copy(struct bytes *out, struct session_state *state, size_t until, uint64_t copy_rows);

enum { COPY_ROW_BYTES = 100 }; /* payload of one CopyData */

#endif
