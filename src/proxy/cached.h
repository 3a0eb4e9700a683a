/* SPDX-License-Identifier: PostgreSQL */
/*
 * The result cache in a request's life: look up before routing, collect the
 * answer while it streams, store it at the end, drop what a commit changed.
 */
#ifndef WEIR_PROXY_CACHED_H
#define WEIR_PROXY_CACHED_H

#include "proxy/client.h"
#include "proxy/plan.h"

struct cache_deps;

/* Where the catalog has changed since, a table of the same name may have another oid. */
struct noted_writes {
	struct judge_tables tables;
	uint64_t generation; /* of the catalog that has these oids */
};

enum cached_step {
	CACHED_FORWARD,  /* not cacheable, or a miss: run it */
	CACHED_ANSWERED, /* the client has its answer */
	CACHED_WAITING,  /* Redis was asked: CLIENT_WAIT_CACHE */
};

enum cached_step cached_begin(struct client *c, const struct request *req,
			      const struct plan *plan);
bool cached_is_busy(const struct client *c); /* an answer is being collected, or looked up */
void cached_forwarded(struct client *c);     /* the request goes to c->server now */
void cached_collect(struct client *c, struct slice answer);
void cached_request_done(struct client *c, struct server *s);
void cached_end(struct client *c);           /* forgets all; frees */

/* Tables that the request may change, until its transaction ends. */
void cached_note_writes(struct client *c, const struct plan *plan);
/* The catalog isn't of that generation any more: oids of then may be of tables that are gone. */
bool cached_is_renamed(const struct catalog *catalog, uint64_t generation);
/* The same as the cache is told it; false: none. The database's name is the tenant's. */
bool cached_writes(const struct client *c, struct cache_deps *out);
/* They are committed. Kept, to be told again, while the tracker holds that more may be written. */
void cached_invalidate(struct client *c);

#endif
