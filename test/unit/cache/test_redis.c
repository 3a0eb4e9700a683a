/* SPDX-License-Identifier: PostgreSQL */
/* RESP: replies as traces, in any cut; hostile counts and lengths end the reader only. */
#include "cache/redis.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "support/trace.h"

static void add_value(struct trace *t, const struct redis_value *v)
{
	static const char *const names[] = { "nil", "string", "status", "error", "integer", "array" };

	if (v->type == REDIS_TYPE_INTEGER)
		trace_add(t, "integer %lld", (long long)v->integer);
	else
		trace_add(t, "%s %.*s", names[v->type], (int)v->text.len, v->text.ptr ? v->text.ptr : "");
}

static enum weir_err read_all(struct redis_reader *r, struct trace *t)
{
	const struct redis_reply *reply;
	enum weir_err err;

	while ((err = redis_reader_next(r, &reply)) == WEIR_OK) {
		add_value(t, &reply->value);
		for (unsigned i = 0; i < reply->count; i++)
			add_value(t, &reply->elements[i]);
	}
	return err;
}

static enum weir_err feed(struct trace *t, const char *bytes, size_t len, size_t step)
{
	struct redis_reader *r = redis_reader_create(4096);
	enum weir_err err = WEIR_ERR_AGAIN;

	for (size_t at = 0; at < len && err == WEIR_ERR_AGAIN; at += step) {
		err = redis_reader_feed(r, slice_of(bytes + at, len - at < step ? len - at : step));
		if (err == WEIR_OK)
			err = read_all(r, t);
	}
	redis_reader_destroy(r);
	return err;
}

Test(redis, replies_in_any_cut)
{
	static const char bytes[] = "+OK\r\n:42\r\n-ERR no\r\n$-1\r\n$5\r\nhello\r\n$0\r\n\r\n"
								"*3\r\n$1\r\na\r\n$-1\r\n:7\r\n*0\r\n*-1\r\n"
								"*2\r\n*2\r\n+x\r\n+y\r\n$1\r\nz\r\n";

	for (size_t step = 1; step < sizeof bytes; step++) {
		struct trace t;

		trace_init(&t);
		cr_assert_eq(feed(&t, bytes, sizeof bytes - 1, step), WEIR_ERR_AGAIN);
		trace_expect(&t, "status OK\ninteger 42\nerror ERR no\nnil \nstring hello\nstring \n"
		                 "array \nstring a\nnil \ninteger 7\narray \nnil \n"
		                 "array \narray \nstring z\n");
		trace_fini(&t);
	}
}

Test(redis, hostile_replies_end_the_reader)
{
	static const char *const cases[] = {
		"*2147483647\r\n",
		"*65\r\n",
		"*99999999999999999999\r\n",
		"*-2\r\n",
		"*\r\n",
		"$-2\r\n",
		"$99999999999999999999\r\n",
		"$x\r\n",
		"?what\r\n",
		"hello\r\n",
		"\r\n",
		"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
		"*2\r\n*1000000000\r\n",
	};

	for (size_t i = 0; i < WEIR_COUNTOF(cases); i++) {
		struct trace t;
		enum weir_err err;

		trace_init(&t);
		err = feed(&t, cases[i], strlen(cases[i]), strlen(cases[i]));
		cr_expect(err == WEIR_ERR_PROTOCOL || err == WEIR_ERR_LIMIT, "case %zu: %d", i, err);
		trace_fini(&t);
	}
}

Test(redis, a_string_without_end_reaches_the_bound)
{
	struct redis_reader *r = redis_reader_create(4096);
	const struct redis_reply *reply;
	char chunk[65536];
	enum weir_err err = redis_reader_feed(r, slice_str("$500000000\r\n"));
	unsigned chunks = 0;

	memset(chunk, 'x', sizeof chunk);
	while (err == WEIR_OK && chunks < 1000) {
		cr_assert_eq(redis_reader_next(r, &reply), WEIR_ERR_AGAIN);
		err = redis_reader_feed(r, slice_of(chunk, sizeof chunk));
		chunks++;
	}
	cr_assert_eq(err, WEIR_ERR_LIMIT);
	cr_assert_lt(chunks, 20);
	redis_reader_destroy(r);
}

Test(redis, a_text_over_the_bound_ends_the_reader)
{
	struct redis_reader *r = redis_reader_create(100);
	const struct redis_reply *reply;
	char text[300];
	int len = snprintf(text, sizeof text, "$200\r\n%0200d\r\n", 1);

	cr_assert_eq(redis_reader_feed(r, slice_of(text, (size_t)len)), WEIR_OK);
	cr_assert_eq(redis_reader_next(r, &reply), WEIR_ERR_PROTOCOL);
	redis_reader_destroy(r);
}

Test(redis, commands_are_binary_safe)
{
	static const char want[] = "*4\r\n$3\r\nSET\r\n$3\r\na\r\n\r\n$2\r\n\0\1\r\n$0\r\n\r\n";
	struct buf out;
	struct slice argv[] = { slice_str("SET"), slice_of("a\r\n", 3), slice_of("\0\1", 2),
		                    slice_of("", 0) };

	buf_init(&out, 4096);
	redis_append_command(&out, 4, argv);
	cr_assert(slice_equal(buf_slice(&out), slice_of(want, sizeof want - 1)));
	buf_fini(&out);
}
