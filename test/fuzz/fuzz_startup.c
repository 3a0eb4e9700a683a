/* SPDX-License-Identifier: PostgreSQL */
/*
 * The first packet from an unauthenticated peer: slices stay inside the input,
 * and what was read, written again, is read the same.
 */
#include <stdint.h>

#include "base/assert.h"
#include "base/buf.h"
#include "wire/build.h"
#include "wire/startup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(struct slice in, struct slice part)
{
	WEIR_ASSERT(part.ptr >= in.ptr && part.len <= in.len &&
	            (size_t)(part.ptr - in.ptr) <= in.len - part.len);
}

static void check_again(const struct startup *s, const struct slice *pairs)
{
	struct startup again;
	struct buf b;
	size_t used;

	buf_init(&b, 2 * STARTUP_MAX_BYTES);
	build_startup(&b, PG_PROTOCOL(s->major, s->minor), pairs, s->param_count);
	WEIR_ASSERT(startup_next(buf_slice(&b), &again, &used) == WEIR_OK && used == b.len);
	WEIR_ASSERT(slice_equal(again.params, s->params) && again.param_count == s->param_count);
	buf_fini(&b);
}

static void check_session(struct slice in, const struct startup *s)
{
	struct slice pairs[2 * STARTUP_MAX_PARAMS];
	struct slice rest = s->params;
	struct slice value;
	struct startup_param p;
	size_t n = 0;

	while (startup_param_next(&rest, &p)) {
		check_inside(in, p.name);
		check_inside(in, p.value);
		WEIR_ASSERT(p.name.len > 0 && n < s->param_count);
		pairs[2 * n] = p.name;
		pairs[2 * n + 1] = p.value;
		n++;
	}
	WEIR_ASSERT(n == s->param_count);
	(void)startup_param_find(s, "user", &value);
	check_again(s, pairs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of(data, size);
	struct startup s;
	size_t used;

	while (startup_next(in, &s, &used) == WEIR_OK) {
		WEIR_ASSERT(used >= 8 && used <= in.len);
		if (s.kind == STARTUP_SESSION)
			check_session(slice_of(in.ptr, used), &s);
		if (s.kind == STARTUP_CANCEL)
			check_inside(slice_of(in.ptr, used), s.cancel_key);
		in = slice_of(in.ptr + used, in.len - used);
	}
	return 0;
}
