/* SPDX-License-Identifier: PostgreSQL */
/* Maps of masters: hash slots, CLUSTER SLOTS in any cut and any damage, redirections. */
#include "cache/slots.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "base/assert.h"
#include "support/trace.h"

/* Slots as Redis' own CLUSTER KEYSLOT gives them. */
Test(slots, keys)
{
	static const struct {
		const char *key;
		unsigned slot;
	} cases[] = {
		{ "123456789", 12739 }, { "foo", 12182 },      { "bar", 5061 },
		{ "{bar}x", 5061 },     { "y{bar}{foo}", 5061 }, { "user1000", 3443 },
		{ "{user1000}.following", 3443 },
		{ "", 0 },
	};

	for (size_t i = 0; i < WEIR_COUNTOF(cases); i++)
		cr_expect_eq(slots_of_key(slice_str(cases[i].key)), cases[i].slot, "%s: %u", cases[i].key,
		             slots_of_key(slice_str(cases[i].key)));
	/* No tag: nothing in it, or it isn't closed. */
	cr_expect_neq(slots_of_key(slice_str("{}bar")), 5061);
	cr_expect_neq(slots_of_key(slice_str("{bar")), 5061);
	cr_expect_neq(slots_of_key(slice_str("{}{bar}")), 5061);
	cr_expect_neq(slots_of_key(slice_str("{")), slots_of_key(slice_str("")));
}

/* Runs of slots with their owner, then the nodes. */
static void add_map(struct trace *t, const struct slots *s)
{
	for (unsigned i = 0, from = 0; i <= SLOTS_COUNT; i++) {
		unsigned owner = slots_owner(s, (uint16_t)from);

		if (i < SLOTS_COUNT && slots_owner(s, (uint16_t)i) == owner)
			continue;
		if (owner != SLOTS_NONE)
			trace_add(t, "%u-%u %s:%u %s", from, i - 1, s->nodes[owner].host, s->nodes[owner].port,
			          s->nodes[owner].name);
		from = i;
	}
}

static struct slots *parse_reply(struct redis_reader *r, const char *bytes, size_t len, size_t step,
                                 const char **why)
{
	const struct redis_reply *reply;
	enum weir_err err = WEIR_ERR_AGAIN;

	*why = "the reader's";
	for (size_t at = 0; at < len && err == WEIR_ERR_AGAIN; at += step) {
		size_t n = len - at < step ? len - at : step;

		if (redis_reader_feed(r, slice_of(bytes + at, n)) != WEIR_OK)
			return NULL;
		err = redis_reader_next(r, &reply);
	}
	if (err != WEIR_OK)
		return NULL;
	*why = "";
	return slots_from_reply(reply, slice_str("asked"), why);
}

static const char *parse(struct trace *t, const char *bytes, size_t len, size_t step)
{
	struct redis_reader *r = redis_reader_create_deep(65536);
	const char *why;
	struct slots *s = parse_reply(r, bytes, len, step, &why);

	trace_init(t);
	if (s)
		add_map(t, s);
	slots_put(&s);
	redis_reader_destroy(r);
	return why;
}

#define NODE(host, len, port) \
	"*4\r\n$" #len "\r\n" host "\r\n:" #port "\r\n$2\r\nid\r\n*2\r\n$8\r\nhostname\r\n$1\r\nh\r\n"
#define PLAIN(host, len, port) "*3\r\n$" #len "\r\n" host "\r\n:" #port "\r\n$2\r\nid\r\n"

static const char three[] = "*3\r\n"
							"*4\r\n:0\r\n:5460\r\n" NODE("10.0.0.1", 8, 7000) PLAIN("r", 1, 1)
							"*3\r\n:5461\r\n:10922\r\n" PLAIN("10.0.0.2", 8, 7000)
							"*3\r\n:10923\r\n:16383\r\n" PLAIN("", 0, 7001);

Test(slots, a_cluster_in_any_cut)
{
	for (size_t step = 1; step < sizeof three; step++) {
		struct trace t;

		cr_assert_str_eq(parse(&t, three, sizeof three - 1, step), "");
		trace_expect(&t, "0-5460 10.0.0.1:7000 h\n5461-10922 10.0.0.2:7000 \n"
		                 "10923-16383 asked:7001 \n");
		trace_fini(&t);
	}
}

Test(slots, gaps_and_masters_without_an_address)
{
	static const char bytes[] = "*4\r\n*3\r\n:0\r\n:9\r\n" PLAIN("a", 1, 1) /* */
		"*3\r\n:20\r\n:29\r\n" PLAIN("?", 1, 1)                             /* */
		"*2\r\n:30\r\n:30\r\n"                                              /* */
		"*3\r\n:31\r\n:31\r\n*3\r\n$-1\r\n:5\r\n$2\r\nid\r\n";
	struct trace t;

	cr_assert_str_eq(parse(&t, bytes, sizeof bytes - 1, 999), "");
	trace_expect(&t, "0-9 a:1 \n31-31 asked:5 \n");
	trace_fini(&t);
}

Test(slots, what_is_no_map)
{
	static const char *const answers[] = {
		"*0\r\n",
		":1\r\n",
		"-ERR This instance has cluster support disabled\r\n",
		"*1\r\n:1\r\n",
		"*1\r\n*1\r\n:1\r\n",
		"*1\r\n*3\r\n:-1\r\n:5\r\n*2\r\n$1\r\na\r\n:1\r\n",
		"*1\r\n*3\r\n:0\r\n:16384\r\n*2\r\n$1\r\na\r\n:1\r\n",
		"*1\r\n*3\r\n:0\r\n:5\r\n*2\r\n$1\r\na\r\n:70000\r\n",
		"*1\r\n*3\r\n:0\r\n:5\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n",
		"*1\r\n*3\r\n:0\r\n:5\r\n*1\r\n$1\r\na\r\n",
		"*1\r\n*3\r\n:0\r\n:5\r\n*2\r\n*0\r\n:1\r\n",
		"*1\r\n*3\r\n:0\r\n:5\r\n$1\r\na\r\n",
		"*1\r\n*3\r\n:0\r\n:5\r\n*2\r\n$1\r\n?\r\n:1\r\n",
	};
	struct trace t;

	for (size_t i = 0; i < WEIR_COUNTOF(answers); i++)
		cr_expect_str_neq(parse(&t, answers[i], strlen(answers[i]), 999), "", "answer %zu", i);
	/* Every length of a good one, and every byte of it another. */
	for (size_t len = 1; len < sizeof three - 1; len++)
		cr_expect_str_eq(parse(&t, three, len, 999), "the reader's");
	for (size_t i = 0; i < sizeof three - 1; i++) {
		char damaged[sizeof three];

		memcpy(damaged, three, sizeof three);
		damaged[i] ^= 5;
		parse(&t, damaged, sizeof three - 1, 999); /* whatever it is, it ends */
		trace_fini(&t);
	}
}

Test(slots, too_many_masters)
{
	static char bytes[65536];
	int len = snprintf(bytes, sizeof bytes, "*%d\r\n", SLOTS_NODES_MAX + 1);
	struct trace t;

	for (int i = 0; i <= SLOTS_NODES_MAX; i++)
		len += snprintf(bytes + len, sizeof bytes - (size_t)len,
		                "*3\r\n:%d\r\n:%d\r\n*2\r\n$1\r\na\r\n:%d\r\n", i, i, i + 1);
	cr_assert_str_eq(parse(&t, bytes, (size_t)len, 999), "too many masters");
}

Test(slots, maps_compared)
{
	struct redis_reader *r = redis_reader_create_deep(65536);
	const char *why;
	struct slots *a = parse_reply(r, three, sizeof three - 1, 999, &why);
	struct slots *b = parse_reply(r, three, sizeof three - 1, 999, &why);
	struct slots *one = slots_single(slice_str("10.0.0.1"), 7000);

	cr_assert(slots_equal(a, b));
	b->owner[77] = 1;
	cr_assert_not(slots_equal(a, b));
	cr_assert(slots_keeps_masters(a, b), "a slot moved, both are masters");
	cr_assert_not(slots_equal(a, one));
	cr_assert(slots_keeps_masters(one, a));
	cr_assert_not(slots_keeps_masters(a, one));
	cr_assert_eq(slots_find(a, slice_str("10.0.0.2"), 7000), 1);
	cr_assert_eq(slots_find(a, slice_str("10.0.0.2"), 7001), SLOTS_NONE);
	slots_put(&a);
	slots_put(&b);
	slots_put(&one);
	redis_reader_destroy(r);
}

Test(slots, redirections)
{
	static const struct {
		const char *error, *is;
	} cases[] = {
		{ "MOVED 3999 127.0.0.1:6381", "moved 3999 127.0.0.1 6381" },
		{ "ASK 0 h:1", "ask 0 h 1" },
		{ "MOVED 16383 2001:db8::1:6379", "moved 16383 2001:db8::1 6379" },
		{ "MOVED 1 :6379", "moved 1  6379" },
		{ "MOVED 16384 h:1", "" },
		{ "MOVED x h:1", "" },
		{ "MOVED 1", "" },
		{ "MOVED 1 ", "" },
		{ "MOVED 1 h", "" },
		{ "MOVED 1 h:", "" },
		{ "MOVED 1 h:0", "" },
		{ "MOVED 1 h:65536", "" },
		{ "MOVED 1 h:1x", "" },
		{ "MOVED 99999999999999999999 h:1", "" },
		{ "ASK", "" },
		{ "MOVED ", "" },
		{ "ERR", "" },
		{ "", "" },
	};

	for (size_t i = 0; i < WEIR_COUNTOF(cases); i++) {
		struct redirect r;
		char text[128] = "";

		if (redirect_parse(slice_str(cases[i].error), &r))
			snprintf(text, sizeof text, "%s %u %.*s %u", r.is_ask ? "ask" : "moved", r.slot,
			         (int)r.host.len, r.host.ptr, r.port);
		cr_expect_str_eq(text, cases[i].is, "%s", cases[i].error);
	}
}
