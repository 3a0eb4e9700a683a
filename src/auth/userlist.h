/* SPDX-License-Identifier: PostgreSQL */
/*
 * PgBouncer's userlist.txt: lines of "user" "secret", doubled quotes inside,
 * further text on a line ignored, ; and # begin a comment at a line's start,
 * the last of several lines for one user counts.
 * A loaded list never changes and may be read by any thread; whoever swaps
 * lists counts references.
 */
#ifndef WEIR_AUTH_USERLIST_H
#define WEIR_AUTH_USERLIST_H

#include <stdbool.h>
#include <stddef.h>

#include "auth/client_login.h"
#include "auth/secret.h"
#include "base/assert.h"
#include "base/err.h"
#include "base/slice.h"

enum {
	USERLIST_NAME_MAX = 63,      /* of a longer name so much counts */
	USERLIST_SECRET_MAX = 65530, /* PgBouncer's */
	USERLIST_ERROR_MAX = 256,
	USERLIST_PREPARE_MAX = 500,
};

struct userlist;

/*
 * *out is owned by the caller. On WEIR_ERR_CONFIG (malformed, too long) and
 * WEIR_ERR_IO error holds "file:line: text", without any secret.
 */
enum weir_err userlist_load(const char *path, struct userlist **out,
                            char error[USERLIST_ERROR_MAX]) WEIR_MUST_CHECK;
enum weir_err userlist_parse(struct slice text, const char *path, struct userlist **out,
                             char error[USERLIST_ERROR_MAX]) WEIR_MUST_CHECK;
void userlist_destroy(struct userlist *list); /* wipes; NULL is fine */

typedef void userlist_name_fn(void *ctx, struct slice user); /* borrowed from the list */
/* Every user's name, in no order. A NULL list is empty. */
void userlist_each(const struct userlist *list, userlist_name_fn *each, void *ctx);
/* The secret as stored, borrowed from the list; NOT_FOUND: no such user. A NULL list is empty. */
enum weir_err userlist_find(const struct userlist *list, struct slice user,
                            struct slice *secret) WEIR_MUST_CHECK;
/*
 * Derives SCRAM secrets from all plain ones, so that a log-in costs no PBKDF2
 * and known and unknown users take the same time. Work done for `previous`
 * (may be NULL) under the same key isn't repeated. Costs a millisecond per
 * user; a list with more than USERLIST_PREPARE_MAX plain secrets stays as it
 * is. Before the list is shared.
 */
void userlist_prepare(struct userlist *list, const struct userlist *previous,
                      const struct login_salt_key *key, unsigned iterations);
bool userlist_is_prepared(const struct userlist *list);
/* NULL: unknown, not a plain secret, or not prepared. Borrowed from the list. */
const struct scram_secret *userlist_prepared(const struct userlist *list, struct slice user);

/* What the unknown user with this number looks like: see secret_shape.h. */
struct secret_shape userlist_pick_shape(const struct userlist *list, uint64_t number);

#endif
