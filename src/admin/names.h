/* SPDX-License-Identifier: PostgreSQL */
/*
 * Which databases and users the console lists: what is configured, what is
 * connected, and the console itself under PgBouncer's name, each once, in the
 * order of names. Borrows the texts. And how many host names are known.
 * Private to admin/.
 */
#ifndef WEIR_ADMIN_NAMES_H
#define WEIR_ADMIN_NAMES_H

#include "admin/command.h"

#define CONSOLE_NAME "pgbouncer" /* its database and its user, as exporters know them */

struct names {
	struct slice *items; /* owned */
	size_t count, room;
};

void names_fini(struct names *names);
/* Its place in items; count where it isn't there. */
size_t names_find(const struct names *names, struct slice name);
/* Entries of [databases], those in use that "*" has made, the console; NUL-ended. Wants POOLS. */
void names_of_databases(struct names *names, const struct show *s);
/* Of auth_file, [users], connected clients, the console. Wants CLIENTS. */
void names_of_users(struct names *names, const struct show *s);
/* Clients of the console. Wants POOLS. */
uint64_t console_client_count(const struct admin_part *parts);

struct host_counts {
	size_t names, pending; /* pending: looked up now */
};

struct host_counts hosts_count(const struct show *s);

#endif
