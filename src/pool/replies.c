/* SPDX-License-Identifier: PostgreSQL */
/*
 * Two rings: segments, and the ops of all segments in order. Both start inline
 * and grow by doubling up to REPLIES_MAX, so that a pipelining client is bounded
 * and an ordinary one allocates nothing.
 */
#include "pool/replies.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

void replies_init(struct replies *r)
{
	memset(r, 0, sizeof *r);
	r->segments = r->segments_inline;
	r->ops = r->ops_inline;
	r->segment_cap = REPLIES_INLINE;
	r->op_cap = REPLIES_OPS_INLINE;
}

void replies_fini(struct replies *r)
{
	if (r->segments != r->segments_inline)
		mem_free(r->segments);
	if (r->ops != r->ops_inline)
		mem_free(r->ops);
	replies_init(r);
}

static enum weir_err segments_grow(struct replies *r)
{
	struct reply_segment *bigger;

	if (r->segment_cap >= REPLIES_MAX)
		return WEIR_ERR_LIMIT;
	bigger = mem_alloc(2 * r->segment_cap * sizeof *bigger);
	for (uint32_t i = 0; i < r->segment_count; i++)
		bigger[i] = r->segments[(r->segment_head + i) & (r->segment_cap - 1)];
	if (r->segments != r->segments_inline)
		mem_free(r->segments);
	r->segments = bigger;
	r->segment_cap *= 2;
	r->segment_head = 0;
	return WEIR_OK;
}

static enum weir_err ops_grow(struct replies *r)
{
	struct reply_op *bigger;

	if (r->op_cap >= 4 * REPLIES_MAX)
		return WEIR_ERR_LIMIT;
	bigger = mem_alloc(2 * (size_t)r->op_cap * sizeof *bigger);
	for (uint32_t i = 0; i < r->op_total; i++)
		bigger[i] = r->ops[(r->op_head + i) & (r->op_cap - 1)];
	if (r->ops != r->ops_inline)
		mem_free(r->ops);
	r->ops = bigger;
	r->op_cap *= 2;
	r->op_head = 0;
	return WEIR_OK;
}

enum weir_err replies_push(struct replies *r, enum reply_kind kind, bool has_sync)
{
	struct reply_segment *s;

	if (r->segment_count == r->segment_cap) {
		enum weir_err err = segments_grow(r);

		if (err)
			return err;
	}
	s = &r->segments[(r->segment_head + r->segment_count++) & (r->segment_cap - 1)];
	*s = (struct reply_segment){ .kind = (uint8_t)kind, .has_sync = has_sync };
	return WEIR_OK;
}

struct reply_segment *replies_add(struct replies *r, enum reply_kind kind, bool has_sync)
{
	enum weir_err err = replies_push(r, kind, has_sync);

	WEIR_ASSERT(err == WEIR_OK);
	return replies_newest(r);
}

enum weir_err replies_push_op(struct replies *r, enum reply_op_kind kind, uint64_t id)
{
	struct reply_segment *s = replies_newest(r);

	WEIR_ASSERT(s != NULL);
	if (r->op_total == r->op_cap) {
		enum weir_err err = ops_grow(r);

		if (err)
			return err;
	}
	r->ops[(r->op_head + r->op_total++) & (r->op_cap - 1)] =
		(struct reply_op){ .id = id & 0xffffffffffffff, .kind = (uint8_t)kind };
	s->op_count++;
	return WEIR_OK;
}

struct reply_segment *replies_current(struct replies *r)
{
	return r->segment_count ? &r->segments[r->segment_head] : NULL;
}

struct reply_segment *replies_newest(struct replies *r)
{
	if (!r->segment_count)
		return NULL;
	return &r->segments[(r->segment_head + r->segment_count - 1) & (r->segment_cap - 1)];
}

struct reply_op replies_take_op(struct replies *r)
{
	struct reply_segment *s = replies_current(r);
	struct reply_op op = { .kind = REPLY_OP_FORWARD };

	if (!s || !s->op_count)
		return op;
	op = r->ops[r->op_head];
	r->op_head = (r->op_head + 1) & (r->op_cap - 1);
	r->op_total--;
	s->op_count--;
	return op;
}

struct reply_op replies_op_at(const struct replies *r, uint32_t i)
{
	WEIR_ASSERT(i < r->op_total);
	return r->ops[(r->op_head + i) & (r->op_cap - 1)];
}

static uint32_t count_ops(const struct replies *r, unsigned kind, unsigned other)
{
	uint32_t n = 0;

	if (!r->segment_count)
		return 0;
	for (uint32_t i = 0; i < r->segments[r->segment_head].op_count; i++) {
		unsigned k = replies_op_at(r, i).kind;

		n += k == kind || k == other;
	}
	return n;
}

uint32_t replies_unconfirmed(const struct replies *r)
{
	return count_ops(r, REPLY_OP_PARSED, REPLY_OP_AS_PARSED);
}

uint32_t replies_unclosed(const struct replies *r)
{
	return count_ops(r, REPLY_OP_CLOSED, REPLY_OP_CLOSED);
}

uint32_t replies_unasked(const struct replies *r)
{
	return count_ops(r, REPLY_OP_ASKED, REPLY_OP_ASKED);
}

uint32_t replies_unnamed_due(const struct replies *r)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < r->segment_count; i++)
		n += r->segments[(r->segment_head + i) & (r->segment_cap - 1)].unnamed_due;
	return n;
}

void replies_skip_ops(struct replies *r)
{
	struct reply_segment *s = replies_current(r);

	WEIR_ASSERT(s != NULL);
	r->op_head = (r->op_head + s->op_count) & (r->op_cap - 1);
	r->op_total -= s->op_count;
	s->op_count = 0;
}

void replies_skip_all_ops(struct replies *r)
{
	for (uint32_t i = 0; i < r->segment_count; i++) {
		struct reply_segment *s = &r->segments[(r->segment_head + i) & (r->segment_cap - 1)];

		s->op_count = 0;
		s->unnamed_due = 0;
	}
	r->op_total = 0;
}

bool replies_is_unsure(const struct replies *r, uint64_t id)
{
	const struct reply_segment *last;
	uint32_t earlier;

	if (r->segment_count < 2)
		return false;
	last = &r->segments[(r->segment_head + r->segment_count - 1) & (r->segment_cap - 1)];
	earlier = r->op_total - last->op_count;
	for (uint32_t i = 0; i < earlier; i++)
		if (r->ops[(r->op_head + i) & (r->op_cap - 1)].id == id)
			return true;
	return false;
}

static void pop_segment(struct replies *r)
{
	r->segment_head = (r->segment_head + 1) & (r->segment_cap - 1);
	r->segment_count--;
}

void replies_extend(struct replies *r)
{
	struct reply_segment *s = replies_current(r), *next;

	WEIR_ASSERT(s != NULL);
	if (r->segment_count == 1) {
		s->has_sync = s->ends_by_query = false;
		return;
	}
	next = &r->segments[(r->segment_head + 1) & (r->segment_cap - 1)];
	next->op_count += s->op_count;
	next->unnamed_due += s->unnamed_due;
	next->has_error |= s->has_error;
	next->is_started |= s->is_started;
	pop_segment(r);
}

void replies_pop(struct replies *r)
{
	replies_skip_ops(r);
	pop_segment(r);
}

void replies_disown(struct replies *r)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < r->segment_count; i++) {
		struct reply_segment s = r->segments[(r->segment_head + i) & (r->segment_cap - 1)];

		if (s.kind == REPLY_BEGIN) { /* the ReadyForQuery behind it is the next one's */
			WEIR_ASSERT(i + 1 < r->segment_count);
			r->segments[(r->segment_head + i + 1) & (r->segment_cap - 1)].op_count += s.op_count;
			continue;
		}
		s.kind = REPLY_RESET;
		r->segments[(r->segment_head + count++) & (r->segment_cap - 1)] = s;
	}
	r->segment_count = count;
}

bool replies_has_room(const struct replies *r)
{
	return r->segment_count < REPLIES_MAX - REPLIES_SPARE && r->op_total < 2 * REPLIES_MAX;
}

size_t replies_count(const struct replies *r)
{
	return r->segment_count;
}

bool replies_is_internal(const struct reply_segment *s)
{
	return s->kind >= REPLY_SYNC;
}

bool replies_has_own(const struct replies *r)
{
	for (uint32_t i = 0; i < r->segment_count; i++)
		if (!replies_is_internal(
			    &r->segments[(r->segment_head + i) & (r->segment_cap - 1)]))
			return true;
	return false;
}
