/* SPDX-License-Identifier: PostgreSQL */
/* The greeting as a trace: what is said, how each kind of server answers, what comes of it. */
#include "cache/greet.h"

#include <criterion/criterion.h>

#include "base/assert.h"
#include "support/trace.h"

#define RUN_ID "0123456789abcdef0123456789abcdef01234567"
#define REPLID "fedcba9876543210fedcba9876543210fedcba98"
#define MASTER "# Replication\r\nrole:master\r\nmaster_replid:" REPLID "\r\nmaster_replid2:0\r\n"
#define REPLICA "# Replication\r\nrole:slave\r\nmaster_replid:" REPLID "\r\n"

static struct redis_reply string(const char *text)
{
	return (struct redis_reply){ .value = { REDIS_TYPE_STRING, slice_str(text), 0 } };
}

static struct redis_reply status(const char *text)
{
	return (struct redis_reply){ .value = { REDIS_TYPE_STATUS, slice_str(text), 0 } };
}

static struct redis_reply error(const char *text)
{
	return (struct redis_reply){ .value = { REDIS_TYPE_ERROR, slice_str(text), 0 } };
}

static struct redis_reply subscribed(void)
{
	return (struct redis_reply){ .value = { .type = REDIS_TYPE_ARRAY, .integer = 3 },
		                         .count = 3,
		                         .elements = { { REDIS_TYPE_STRING, slice_str("subscribe"), 0 } } };
}

/* The words of the commands, then each verdict. */
static void add_commands(struct trace *t, struct slice bytes)
{
	char line[256];
	size_t len = 0;

	for (size_t i = 0; i < bytes.len && len < sizeof line - 2; i++) {
		if (bytes.ptr[i] == '*' || bytes.ptr[i] == '$') {
			while (bytes.ptr[i] != '\n')
				i++;
			continue;
		}
		line[len++] = bytes.ptr[i] == '\r' ? ' ' : bytes.ptr[i];
		i += bytes.ptr[i] == '\r';
	}
	trace_add(t, "%.*s", (int)len, line);
}

static void run(struct trace *t, const struct greet_options *o, const struct redis_reply *replies,
                size_t count)
{
	static const char *const verdicts[] = { "more", "done", "refused" };
	enum greet_verdict v = GREET_MORE;
	struct greet g;
	struct buf out;

	trace_init(t);
	buf_init(&out, 4096);
	greet_begin(&g, o, &out);
	add_commands(t, buf_slice(&out));
	for (size_t i = 0; i < count && v == GREET_MORE; i++) {
		v = greet_take(&g, &replies[i]);
		trace_add(t, "%s%s%s", verdicts[v], v == GREET_REFUSED ? " " : "",
		          v == GREET_REFUSED ? g.why : "");
	}
	trace_add(t, "%s%s%s", g.run_id[0] ? "run_id " : "", g.replid[0] ? "replid " : "",
	          g.is_denied ? "denied" : "");
	buf_fini(&out);
}

#define RUN(t, o, ...)                                                   \
	run(t, o, (const struct redis_reply[]){ __VA_ARGS__ },               \
	    sizeof((const struct redis_reply[]){ __VA_ARGS__ }) / sizeof(struct redis_reply))

Test(greet, a_master)
{
	struct greet_options plain = { 0 }, named = { .user = "u", .password = "p" };
	struct trace t;

	RUN(&t, &plain, string("run_id:" RUN_ID "\r\n"), string(MASTER));
	trace_expect(&t, "INFO server INFO replication \nmore\ndone\nrun_id replid \n");
	trace_fini(&t);
	RUN(&t, &named, status("OK"), string("x:y\r\nrun_id:" RUN_ID "\r\n"), string(MASTER));
	trace_expect(&t, "AUTH u p INFO server INFO replication \nmore\nmore\ndone\nrun_id replid \n");
	trace_fini(&t);
}

Test(greet, who_is_refused)
{
	struct greet_options plain = { 0 }, secret = { .password = "p" }, ear = { .channel = "c" };
	struct trace t;

	RUN(&t, &plain, string("run_id:" RUN_ID "\r\n"), string(REPLICA));
	trace_expect(&t, "INFO server INFO replication \nmore\nrefused not a master\nrun_id replid \n");
	trace_fini(&t);
	RUN(&t, &secret, error("WRONGPASS no"));
	trace_expect(&t, "AUTH p INFO server INFO replication \nrefused password refused\n\n");
	trace_fini(&t);
	RUN(&t, &plain, error("LOADING Redis is loading the dataset in memory"));
	trace_expect(&t, "INFO server INFO replication \nrefused loading\n\n");
	trace_fini(&t);
	RUN(&t, &plain, error("NOAUTH Authentication required."));
	trace_expect(&t, "INFO server INFO replication \nrefused log-in refused\n\n");
	trace_fini(&t);
	RUN(&t, &ear, string(REPLICA));
	trace_expect(&t, "INFO replication SUBSCRIBE c \nrefused not a master\nreplid \n");
	trace_fini(&t);
	RUN(&t, &ear, string(MASTER), error("NOPERM no channel"));
	trace_expect(&t, "INFO replication SUBSCRIBE c \nmore\nrefused subscription refused\n"
	                 "replid \n");
	trace_fini(&t);
}

Test(greet, subscriptions_and_sentinels)
{
	struct greet_options ear = { .channel = "c" }, any = { .takes_any = true },
	                     switches = { .takes_any = true, .channel = "+switch-master" };
	struct trace t;

	RUN(&t, &ear, string(MASTER), subscribed());
	trace_expect(&t, "INFO replication SUBSCRIBE c \nmore\ndone\nreplid \n");
	trace_fini(&t);
	RUN(&t, &any, status("PONG"));
	trace_expect(&t, "PING \ndone\n\n");
	trace_fini(&t);
	RUN(&t, &switches, subscribed());
	trace_expect(&t, "SUBSCRIBE +switch-master \ndone\n\n");
	trace_fini(&t);
}

/* Nothing is known then but that it answers. */
Test(greet, info_is_denied)
{
	struct greet_options plain = { 0 };
	struct trace t;

	RUN(&t, &plain, error("NOPERM no"), error("NOPERM no"));
	trace_expect(&t, "INFO server INFO replication \nmore\ndone\ndenied\n");
	trace_fini(&t);
	RUN(&t, &plain, string(""), string(""));
	trace_expect(&t, "INFO server INFO replication \nmore\ndone\n\n");
	trace_fini(&t);
}

Test(greet, later_looks)
{
	static const char promoted[] = "role:master\r\nmaster_replid:" RUN_ID "\r\n";
	struct greet g = { .count = 1, .steps = { GREET_ROLE }, .replid = REPLID };
	struct redis_reply same = string(MASTER), replica = string(REPLICA), other = string(promoted),
	                   pong = status("PONG"), none = error("ERR x");

	cr_assert(greet_is_same(&g, &same.value));
	cr_assert(greet_is_same(&g, &pong.value));
	cr_assert(greet_is_same(&g, &none.value));
	cr_assert_not(greet_is_same(&g, &other.value));
	cr_assert_not(g.is_replica);
	cr_assert_not(greet_is_same(&g, &replica.value));
	cr_assert(g.is_replica);
}

Test(greet, lines_of_info)
{
	static const struct {
		const char *info, *name, *value;
	} cases[] = {
		{ "role:master\r\n", "role", "master" },   { "xrole:a\r\nrole:b\r\n", "role", "b" },
		{ "role:master", "role", "master" },       { "a:b\nrole:c\n", "role", "c" },
		{ "roles:a\r\n", "role", NULL },           { "role", "role", NULL },
		{ "", "role", NULL },                      { "role:\r\n", "role", "" },
		{ "\n\n\nrole:x\r\r\n", "role", "x\r" },
	};

	for (size_t i = 0; i < WEIR_COUNTOF(cases); i++) {
		struct slice value;
		bool is_found = greet_info_find(slice_str(cases[i].info), cases[i].name, &value);

		cr_assert_eq(is_found, cases[i].value != NULL, "case %zu", i);
		if (is_found)
			cr_assert(slice_is(value, cases[i].value), "case %zu", i);
	}
}
