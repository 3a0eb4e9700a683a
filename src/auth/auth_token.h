/* SPDX-License-Identifier: PostgreSQL */
/*
 * The words of pg_hba.conf and pg_ident.conf: parted by blanks, lists by
 * commas, quotes take a key word its meaning (manual, "The pg_hba.conf File").
 * Private to auth/. Pure.
 */
#ifndef WEIR_AUTH_AUTH_TOKEN_H
#define WEIR_AUTH_AUTH_TOKEN_H

#include "auth/text_file.h"

enum { AUTH_TOKEN_MAX = 1024 };

/* One word of a line: of a comma-separated list one member. */
struct auth_token {
	char text[AUTH_TOKEN_MAX];
	size_t len;
	bool is_quoted; /* begins with a quote */
	bool has_comma; /* another member follows */
};

bool auth_token_is(const struct auth_token *t, const char *word); /* false for quoted ones */
/* CONFIG, and the line's error written: no word, which `what` names, too long, quote not closed. */
enum weir_err auth_token_read(struct text_line *line, const char *what,
                              struct auth_token *out) WEIR_MUST_CHECK;

#endif
