/* SPDX-License-Identifier: PostgreSQL */
/*
 * The statements that a server has under the names that clients gave them: those
 * made by SQL PREPARE, and any that SQL names in EXECUTE or DEALLOCATE. Each name
 * is one client's at a time, or several clients' with the same text: who needs
 * it compares ids, and brings its own where they differ. Least recently used go
 * first. Belongs to the server's worker; moves with an idle server.
 */
#ifndef WEIR_POOL_PLAIN_NAMES_H
#define WEIR_POOL_PLAIN_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"
#include "base/slice.h"

/* What plain_names_id says of a name. */
#define PLAIN_NONE ((uint64_t)0)
#define PLAIN_UNKNOWN UINT64_MAX /* it may be there or not, of any text */

struct plain_names {
	struct map names;
	struct list lru; /* most recently used last */
};

void plain_names_init(struct plain_names *p);
void plain_names_fini(struct plain_names *p);
void plain_names_clear(struct plain_names *p);
/* The id of the prepared statement that the name stands for; it becomes the last used. */
uint64_t plain_names_id(struct plain_names *p, struct slice name);
/* id PLAIN_NONE: it is gone. */
void plain_names_set(struct plain_names *p, struct slice name, uint64_t id);
void plain_names_doubt_all(struct plain_names *p);
/* The oldest if there are more than `max`; ptr NULL: there aren't. Valid until it is set. */
struct slice plain_names_excess(const struct plain_names *p, size_t max);
size_t plain_names_count(const struct plain_names *p);

#endif
