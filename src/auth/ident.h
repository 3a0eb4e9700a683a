/* SPDX-License-Identifier: PostgreSQL */
/*
 * User name maps in pg_ident.conf's format (manual, "User Name Maps"): lines of
 * map, system user, database user. A system user that begins with / is an
 * extended regular expression (POSIX, no repeat right behind another), whose
 * first group may stand as \1 in the database user; the database user "all"
 * means any. Loaded maps never change and may be read by any thread.
 */
#ifndef WEIR_AUTH_IDENT_H
#define WEIR_AUTH_IDENT_H

#include <stdbool.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/slice.h"

enum { IDENT_ERROR_MAX = 256, IDENT_NAME_MAX = 1024 };

struct ident;

/* *out is owned by the caller; on WEIR_ERR_CONFIG and WEIR_ERR_IO error holds "file:line: text". */
enum weir_err ident_load(const char *path, struct ident **out,
                         char error[IDENT_ERROR_MAX]) WEIR_MUST_CHECK;
enum weir_err ident_parse(struct slice text, const char *path, struct ident **out,
                          char error[IDENT_ERROR_MAX]) WEIR_MUST_CHECK;
void ident_destroy(struct ident *ident); /* NULL is fine */

/*
 * Whether the system's user, ended by NUL, may log in as the database user. An empty map: if the
 * names are the same. ident NULL: a named map holds nothing. Pure.
 */
bool ident_allows(const struct ident *ident, const char *map, const char *system_user,
                  struct slice user);

#endif
