/* SPDX-License-Identifier: PostgreSQL */
/*
 * The transaction tracker as traces. A line of a trace is a request (its
 * statements, or "<T" for ReadyForQuery with that status, or "lost") and what
 * the tracker says: where it goes and the status that the client sees.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "route/judge.h"
#include "route/txn.h"

struct word {
	const char *text;
	enum statement_class class;
	uint32_t flags;
	uint32_t verdict;
};

enum { READ_OK = VERDICT_REPLICA_OK, WRITES = VERDICT_MAY_WRITE };

static const struct word words[] = {
	{ "begin", STATEMENT_TXN, STATEMENT_BEGIN, READ_OK },
	{ "begin-ro", STATEMENT_TXN, STATEMENT_BEGIN | STATEMENT_BEGIN_READ_ONLY, READ_OK },
	{ "begin-rw", STATEMENT_TXN, STATEMENT_BEGIN | STATEMENT_BEGIN_READ_WRITE, READ_OK },
	{ "begin-ro-rr", STATEMENT_TXN,
	  STATEMENT_BEGIN | STATEMENT_BEGIN_READ_ONLY | STATEMENT_BEGIN_ISOLATED, READ_OK },
	{ "commit", STATEMENT_TXN, STATEMENT_COMMIT, READ_OK },
	{ "rollback", STATEMENT_TXN, STATEMENT_ROLLBACK, READ_OK },
	{ "commit-chain", STATEMENT_TXN, STATEMENT_CHAIN, READ_OK },
	{ "savepoint", STATEMENT_TXN, STATEMENT_SAVEPOINT, READ_OK },
	{ "rollback-to", STATEMENT_TXN, STATEMENT_ROLLBACK_TO, READ_OK },
	{ "read", STATEMENT_READ, 0, READ_OK },
	{ "stats", STATEMENT_READ, 0, 0 },
	{ "function", STATEMENT_READ, 0, WRITES },
	{ "write", STATEMENT_WRITE, 0, WRITES },
	{ "set", STATEMENT_SESSION, 0, READ_OK },
	{ "set-local", STATEMENT_SESSION, STATEMENT_LOCAL_SET, READ_OK },
	{ "show", STATEMENT_SESSION, STATEMENT_SHOW, 0 },
	{ "empty", STATEMENT_EMPTY, 0, READ_OK },
	{ "unfinished", STATEMENT_EMPTY, 0, READ_OK }, /* not a statement: the batch goes on */
	{ "multi", STATEMENT_TXN, STATEMENT_MULTI | STATEMENT_TXN_INSIDE_MULTI, READ_OK },
};

static const char *const acts[] = { "forward", "BEGIN", "COMMIT", "ROLLBACK" };
static const char *const nodes[] = { "same", "primary", "replica", "any" };

static struct txn_request request_of(const char *text)
{
	struct txn_request request = { 0 };
	char copy[128], *rest = copy;

	snprintf(copy, sizeof copy, "%s", text);
	for (char *w; (w = strtok_r(rest, " ", &rest));) {
		struct statement s = { 0 };
		size_t i = 0;

		while (strcmp(words[i].text, w) != 0)
			cr_assert_lt(++i, WEIR_COUNTOF(words), "%s", w);
		if (strcmp(w, "unfinished") == 0) {
			request.is_unfinished = true;
			continue;
		}
		s.class = words[i].class;
		s.flags = words[i].flags;
		txn_request_add(&request, &s, words[i].verdict);
	}
	return request;
}

static void feed_request(struct txn *txn, const struct txn_defaults *defaults, const char *text,
                         char *out, size_t size)
{
	struct txn_request request = request_of(text);
	bool is_anew = txn_writes_behind_end(txn, &request);
	struct txn_plan plan;

	if (is_anew)
		txn_begin_anew(txn);
	plan = txn_plan(txn, &request, defaults);
	if (plan.act == TXN_FORWARD)
		txn_sent(txn, &request);
	else
		txn_answered(txn, &plan, &request, defaults);
	snprintf(out, size, "%s%s%s%s%s %c", is_anew ? "anew " : "", plan.needs_begin ? "begin+" : "",
	         plan.act == TXN_FORWARD ? nodes[plan.node] : acts[plan.act],
	         plan.warning ? " warning" : "", "", txn_status(txn));
}

static void feed_ready(struct txn *txn, char status, char *out, size_t size)
{
	struct txn_end end = txn_ready(txn, status);

	snprintf(out, size, "%s%s%c", end.is_over ? "over " : "", end.has_written ? "written " : "",
	         txn_status(txn));
}

static void feed_lost(struct txn *txn, char *out, size_t size)
{
	bool has_written = txn_lost(txn);

	snprintf(out, size, "%s%c", has_written ? "written " : "", txn_status(txn));
}

static void run_with(struct txn_defaults defaults, const char *const *lines)
{
	struct txn txn = { 0 };

	for (; lines[0]; lines += 2) {
		char out[64];

		if (lines[0][0] == '<')
			feed_ready(&txn, lines[0][1], out, sizeof out);
		else if (strcmp(lines[0], "lost") == 0)
			feed_lost(&txn, out, sizeof out);
		else
			feed_request(&txn, &defaults, lines[0], out, sizeof out);
		cr_assert_str_eq(out, lines[1], "after \"%s\": %s, not %s", lines[0], out, lines[1]);
	}
}

#define RUN(...) run_with((struct txn_defaults){ 0 }, (const char *const[]){ __VA_ARGS__, NULL })

Test(txn, what_comes_behind_a_part_of_a_batch_may_write)
{
	RUN("read unfinished", "primary I", "<I", "over I", "set unfinished", "primary I", "<I",
	    "over I", "unfinished", "primary I", "<I", "over I", "begin-ro read unfinished",
	    "replica I", "<T", "T", "read unfinished", "same T", "<T", "T", "commit", "same T",
	    "<I", "over I", "begin-ro", "BEGIN T", "read unfinished", "begin+replica T");
}

Test(txn, what_comes_behind_the_end_of_a_read_only_transaction_may_write)
{
	RUN("begin-ro", "BEGIN T", "read", "begin+replica T", "<T", "T", "commit write",
	    "anew begin+primary T", "<I", "over written I");
	RUN("begin-ro", "BEGIN T", "read", "begin+replica T", "<T", "T", "rollback function",
	    "anew begin+primary T", "<I", "over written I");
	RUN("begin-ro", "BEGIN T", "read", "begin+replica T", "<T", "T", "commit read", "same T", "<I",
	    "over I");
	RUN("begin-ro", "BEGIN T", "read", "begin+replica T", "<T", "T", "read commit write", "same T",
	    "<I", "over written I");
	RUN("begin", "BEGIN T", "read", "begin+primary T", "<T", "T", "commit write", "same T");
}

Test(txn, single_statements_go_where_they_can)
{
	RUN("read", "replica I", "<I", "over I", "write", "primary I", "<I", "over written I", "stats",
	    "primary I", "<I", "over I", "function", "primary I", "<I", "over written I", "set",
	    "any I", "<I", "over I", "show", "primary I", "<I", "over I", "empty", "any I", "<I",
	    "over I");
}

Test(txn, begin_is_deferred_and_travels_with_the_first_statement)
{
	RUN("begin", "BEGIN T", "read", "begin+primary T", "<T", "T", "write", "same T", "<T",
	    "written T", "commit", "same T", "<I", "over written I", "read", "replica I");
}

Test(txn, an_unopened_transaction_ends_here)
{
	RUN("begin", "BEGIN T", "commit", "COMMIT I", "begin", "BEGIN T", "rollback", "ROLLBACK I",
	    "commit", "COMMIT warning I", "rollback", "ROLLBACK warning I");
}

Test(txn, read_only_goes_to_a_replica_and_stays)
{
	RUN("begin-ro", "BEGIN T", "read", "begin+replica T", "<T", "T", "stats", "same T", "<T", "T",
	    "commit", "same T", "<I", "over I", "begin-ro", "BEGIN T", "stats", "begin+primary T", "<T",
	    "T", "rollback", "same T", "<I", "over I");
}

Test(txn, read_only_in_higher_isolation_or_with_a_setting_stays_on_the_primary)
{
	RUN("begin-ro-rr", "BEGIN T", "read", "begin+primary T", "<T", "T", "commit", "same T", "<I",
	    "over I", "begin-ro", "BEGIN T", "set-local", "begin+primary T", "<T", "T", "commit",
	    "same T", "<I", "over I", "begin-ro", "BEGIN T", "savepoint", "begin+primary T");
}

Test(txn, session_defaults_count)
{
	run_with((struct txn_defaults){ .is_read_only = true },
	         (const char *const[]){ "begin", "BEGIN T", "read", "begin+replica T", "<T", "T",
	                                "commit", "same T", "<I", "over I", "begin-rw", "BEGIN T",
	                                "read", "begin+primary T", NULL });
	run_with((struct txn_defaults){ .is_isolated = true },
	         (const char *const[]){ "read", "primary I", "<I", "over I", "begin-ro", "BEGIN T",
	                                "read", "begin+primary T", NULL });
}

Test(txn, the_server_has_the_last_word)
{
	RUN("begin", "BEGIN T", "write", "begin+primary T", "<E", "written E", "read", "same E", "<E",
	    "written E", "rollback-to", "same E", "<T", "written T", "commit", "same T", "<I",
	    "over written I", "multi", "primary I", "<T", "T", "commit", "same T", "<I", "over I");
}

Test(txn, a_second_begin_is_the_servers_to_warn_about)
{
	RUN("begin", "BEGIN T", "begin", "begin+primary T", "<T", "T", "begin", "same T", "<T", "T");
}

Test(txn, chained_commits_count_as_written)
{
	RUN("begin", "BEGIN T", "write", "begin+primary T", "<T", "written T", "commit-chain", "same T",
	    "<T", "written T", "rollback", "same T", "<I", "over written I", "commit-chain",
	    "primary I", "<I", "over I");
}

Test(txn, pipelines)
{
	RUN("begin read commit", "primary I", "<I", "over I", "begin-ro read", "replica I", "<T", "T",
	    "commit", "same T", "<I", "over I", "begin-ro write", "primary I", "<E", "written E",
	    "rollback", "same E", "<I", "over written I", "begin-ro-rr read", "primary I", "<T", "T",
	    "commit", "same T", "<I", "over I", "read read", "replica I", "<I", "over I", "read write",
	    "primary I", "<I", "over written I", "set read", "replica I");
}

Test(txn, a_lost_server_may_have_committed)
{
	RUN("begin", "BEGIN T", "write", "begin+primary T", "lost", "written I", "read", "replica I",
	    "lost", "I", "begin", "BEGIN T", "lost", "I");
}

/* It is forwarded where it can't be answered: in a pipeline, on a session's own server. */
Test(txn, what_is_answered_has_a_node_all_the_same)
{
	static const struct { const char *text; enum txn_node node; } cases[] = {
		{ "begin", TXN_NODE_PRIMARY },
		{ "begin-rw", TXN_NODE_PRIMARY },
		{ "begin-ro", TXN_NODE_REPLICA_OK },
		{ "begin-ro-rr", TXN_NODE_PRIMARY },
		{ "commit", TXN_NODE_PRIMARY },
		{ "rollback", TXN_NODE_PRIMARY },
	};

	for (size_t i = 0; i < WEIR_COUNTOF(cases); i++) {
		const struct txn_defaults defaults = { 0 };
		struct txn_request request = request_of(cases[i].text);
		struct txn idle = { 0 };

		cr_assert_eq(txn_plan(&idle, &request, &defaults).node, cases[i].node, "%s",
			     cases[i].text);
	}
}
