/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a request means: its statements looked up and judged, folded into what
 * routing, pinning, caching and session tracking need. Reads the client and
 * changes nothing; forwarding applies it.
 */
#ifndef WEIR_PROXY_PLAN_H
#define WEIR_PROXY_PLAN_H

#include "proxy/client.h"
#include "proxy/request.h"
#include "route/judge.h"

enum { PLAN_EFFECTS_INLINE = 4, PLAN_EFFECTS_MAX = 4096, PLAN_NAMES_MAX = 64 };

struct plan_effects { /* a statement that does something to the session */
	struct statement *statement; /* counted */
	uint32_t at;                 /* statements of the request that run before it */
	struct slice bind;           /* body of its Bind; empty: none */
	struct slice types;          /* OIDs that its Parse gave */
	struct prepared *prepared;   /* counted: whose they are; NULL: the request's own */
};

struct plan {
	struct txn_request txn;
	struct statement *only;      /* the one statement that is run; counted; NULL: none or several */
	struct slice only_text;      /* its SQL, in turn memory or owned by a prepared statement */
	struct slice only_bind;      /* body of its Bind; empty: none */
	struct slice only_types;     /* OIDs that its Parse gave; lives as its SQL does */
	enum hint_route hint;
	uint32_t pins;
	uint32_t effect_count, effect_cap;
	struct plan_effects *effects; /* in order; inline or in turn memory */
	struct plan_effects effects_inline[PLAN_EFFECTS_INLINE];
	uint32_t completions;        /* statements that the server will answer, one by one */
	bool is_irregular;           /* which answer belongs to which can't be told */
	bool must_rewrite;           /* named statements, or an unnamed one of an earlier request */
	bool has_live_unnamed;       /* one that is on the linked server so far: see link_send_query */
	bool uses_older_unnamed;     /* ... of an earlier request, wherever it is */
	bool replaces_unnamed;       /* ... and parses another behind that use */
	uint32_t unnamed_parses;     /* how many there are ... */
	struct slice unnamed_parse;  /* ... and the body of the last; empty: it can't be read */
	bool has_parse, has_bind, has_describe, has_execute, has_named_parse;
	bool describes_statement;
	bool is_ddl;
	bool runs_code;              /* it may change settings unseen */
	bool commits_inside;         /* CALL, DO, VACUUM and the like, or what isn't understood */
	bool may_notify;
	bool listens;                /* a LISTEN among other statements, which pgweir follows */
	bool shows_channels;         /* pg_listening_channels() */
	bool moves_sequence;         /* it sets what currval and lastval give, or may */
	bool code_reads_sequence;    /* functions or defaults that it runs use those */
	bool wants_catalog;          /* names that it lacks, or code that may change it */
	uint32_t only_verdict;
	bool shows_lsn;              /* SHOW pgweir.lsn */
	uint32_t name_count;
	struct slice *names;         /* of statements that SQL speaks of; in turn memory; see bring.h */
	bool shows_prepared;         /* pg_prepared_statements, or more names than are kept here */
	bool makes_statements;       /* a named Parse, or PREPARE */
	struct slice deallocate;     /* name of a simple DEALLOCATE; ptr NULL: none */
	struct judge_tables writes;  /* filled when the tenant caches */
};

void plan_make(struct plan *plan, struct client *c, const struct request *req);
bool plan_shows_lsn(const struct statement *s); /* it is SHOW pgweir.lsn */
void plan_fini(struct plan *plan);

#endif
