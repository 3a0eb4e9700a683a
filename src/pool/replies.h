/* SPDX-License-Identifier: PostgreSQL */
/*
 * The reply script of a server connection: what is still to come, in order,
 * and what to do with it. One segment per request that ends in ReadyForQuery
 * (a deferred BEGIN in front of one: in CloseComplete):
 * the client's own (forwarded), or internal ones that pgweir put in front
 * (swallowed). Where pgweir added or replaced Parse and Close messages, a
 * segment also holds one op per ParseComplete/CloseComplete to expect. Pure.
 */
#ifndef WEIR_POOL_REPLIES_H
#define WEIR_POOL_REPLIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { REPLIES_INLINE = 4, REPLIES_OPS_INLINE = 8, REPLIES_MAX = 65536, REPLIES_SPARE = 8 };

enum reply_kind {
	REPLY_SIMPLE,   /* the client's simple query or function call */
	REPLY_EXTENDED, /* the client's extended messages up to Sync */
	REPLY_SYNC,     /* internal: session settings brought to the client's */
	REPLY_BEGIN,    /* internal: a deferred BEGIN without a Sync; its Close ends it */
	REPLY_NAMES,    /* internal: statements brought under the client's own names */
	REPLY_PINS,     /* internal: are the reasons of a pin still there? */
	REPLY_ABORT,    /* internal: an error that aborts the transaction, as one of pgweir's did */
	REPLY_RESET,    /* internal: the reset query before reuse */
	REPLY_CHECK,    /* internal: server_check_query */
};

enum reply_op_kind {
	REPLY_OP_FORWARD,      /* as the client asked */
	REPLY_OP_OWN_PARSE,    /* pgweir's own Parse: swallow */
	REPLY_OP_OWN_CLOSE,    /* pgweir's own Close of an evicted statement: swallow */
	REPLY_OP_PARSED,       /* forward, and a named statement of the client is confirmed */
	/* A Close stands for a Parse the server didn't need: CloseComplete becomes ParseComplete. */
	REPLY_OP_AS_PARSED,
	REPLY_OP_CLOSED,       /* forward, and a named statement of the client is closed */
	REPLY_OP_UNNAMED,      /* forward, and a Parse of the unnamed statement is done */
	REPLY_OP_CLOSED_UNNAMED, /* forward, and the unnamed statement is closed */
	/* pgweir's own Close in front of a Describe whose answer is looked at ... */
	REPLY_OP_ASKED,        /* ... and is the client's, of the oldest name asked for */
	REPLY_OP_LOOK,         /* ... and is pgweir's own: see rewrite.h */
};

struct reply_op {
	uint64_t id : 56;      /* of the prepared statement parsed or closed on the server; 0: none */
	uint64_t kind : 8;     /* enum reply_op_kind */
};

struct reply_segment {
	uint8_t kind;
	bool has_sync;   /* the client's Sync is sent: its ReadyForQuery ends the segment */
	bool has_error;  /* an ErrorResponse was seen: nothing more until ReadyForQuery */
	bool ends_by_query; /* EXTENDED: a simple query stands in the Sync's place, behind an op */
	bool is_started; /* something of it was forwarded to the client */
	uint16_t early_ends; /* CopyDone, CopyFail sent before the server asked for data ... */
	uint16_t late_ends;  /* ... and behind the segment's Sync, which PostgreSQL ignores then */
	uint32_t op_count;
	uint32_t unnamed_due; /* ParseCompletes of unnamed statements still to come */
};

struct replies {
	struct reply_segment *segments; /* owned unless inline */
	struct reply_op *ops;           /* owned unless inline */
	uint32_t segment_cap, segment_head, segment_count; /* ring, cap a power of two */
	uint32_t op_cap, op_head, op_total;                /* ring */
	struct reply_segment segments_inline[REPLIES_INLINE];
	struct reply_op ops_inline[REPLIES_OPS_INLINE];
};

void replies_init(struct replies *r);
void replies_fini(struct replies *r);
enum weir_err replies_push(struct replies *r, enum reply_kind kind, bool has_sync);
/* Where replies_has_room has been asked, or nothing is expected yet. The new segment. */
struct reply_segment *replies_add(struct replies *r, enum reply_kind kind, bool has_sync);
/* Adds an op to the newest segment. */
enum weir_err replies_push_op(struct replies *r, enum reply_op_kind kind, uint64_t id);
struct reply_segment *replies_current(struct replies *r); /* oldest; NULL: none expected */
struct reply_segment *replies_newest(struct replies *r);  /* NULL: none */
/* The op for the ParseComplete or CloseComplete that just came; FORWARD when none is left. */
struct reply_op replies_take_op(struct replies *r);
/* ReadyForQuery came: the oldest segment is done, with the ops that an error skipped. */
void replies_pop(struct replies *r);
/* How many of the current segment's remaining ops confirm, or close, a named statement. */
uint32_t replies_unconfirmed(const struct replies *r);
uint32_t replies_unclosed(const struct replies *r);
uint32_t replies_unasked(const struct replies *r); /* ... or go in front of a Describe */
/* The i-th remaining op; those of the current segment come first. */
struct reply_op replies_op_at(const struct replies *r, uint32_t i);
uint32_t replies_unnamed_due(const struct replies *r); /* of all segments */
/* An error skips what is left of the current segment. */
void replies_skip_ops(struct replies *r);
void replies_skip_all_ops(struct replies *r);
/* Does an op of a segment before the newest parse or close this statement? */
bool replies_is_unsure(const struct replies *r, uint64_t id);
/*
 * What was to end the current segment won't: PostgreSQL ignores it. The next segment is part of
 * this one, or the client's next Sync ends it.
 */
void replies_extend(struct replies *r);
/* Every segment becomes an internal one up to ReadyForQuery: nothing is for a client. */
void replies_disown(struct replies *r);
size_t replies_count(const struct replies *r);
/* Room for one more request and what pgweir puts in front of it. */
bool replies_has_room(const struct replies *r);
bool replies_has_own(const struct replies *r); /* one that isn't internal */
bool replies_is_internal(const struct reply_segment *s);

#endif
