/* SPDX-License-Identifier: PostgreSQL */
/*
 * The command table as data, and what a handler gets. Private to admin/.
 */
#ifndef WEIR_ADMIN_COMMAND_H
#define WEIR_ADMIN_COMMAND_H

#include "admin/admin.h"
#include "admin/window.h"

struct show { /* one request while it is answered */
	struct admin *admin;
	struct admin_request *request;
	const struct admin_source *source;
	const struct config *cfg;
	const struct admin_part *parts; /* what workers gave; NULL: nothing was asked */
	const struct window *window;    /* averages */
	struct slice argument;
	struct buf *out;
	bool is_pending; /* set by the handler: the answer comes later, by request_finish */
};

typedef void command_fn(struct show *s);

enum argument_rule { ARGUMENT_NONE, ARGUMENT_OPTIONAL, ARGUMENT_NEEDED };

struct admin_command {
	const char *words;
	enum argument_rule argument;
	enum admin_role role;
	unsigned want;
	command_fn *handler;
	const char *help;
};

/* The longest match; *argument is what follows, without blanks and ; around. NULL: none. */
const struct admin_command *command_find(struct slice sql, struct slice *argument);
const struct admin_command *command_at(size_t index); /* NULL past the last */
/* The text without comments and blanks before it, and without ; and blanks behind it. */
struct slice command_trim(struct slice sql);
/* The same, but comments stay. */
struct slice command_trim_blanks(struct slice sql);
/* Takes the quotes off "name" or 'name' into out; false when it doesn't fit or isn't one word. */
bool command_word(struct slice argument, char *out, size_t size);

/* Answers of handlers. */
void command_fail(struct show *s, const char *sqlstate, const char *fmt, ...) WEIR_PRINTF(3, 4);
void command_unknown(struct show *s); /* as PgBouncer says it */
void command_done(struct show *s, const char *tag);

#define COMMAND(words, argument, role, want, handler, help) command_fn handler;
#include "admin/commands.def"

#endif
