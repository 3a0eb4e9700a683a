/* SPDX-License-Identifier: PostgreSQL */
/*
 * The topology view as traces: events in, the published picture out as text.
 *
 *   doc A* B C       Patroni's document; * the leader, ! not running, /n timeline, ~ noloadbalance
 *   hosts A B        a fixed host list
 *   A P2 100         a probe of A: out of recovery, timeline 2, position 100
 *   B R2 90          in recovery
 *   A fails          the probe failed
 *
 * The picture: "A=P2 B=r2" roles with timelines, "-" not usable, "?" unknown
 * role; then the primary ("none") and what the view asks for.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tier/view.h"

struct trace {
	struct view view;
	uint64_t now_us;
	char picture[512];
};

static int id_of(const struct view *v, const char *name)
{
	for (int id = 0; id < v->node_count; id++)
		if (strcmp(v->nodes[id].claim.name, name) == 0)
			return id;
	cr_assert_fail("no node %s", name);
	return -1;
}

static void read_member(struct member_claim *m, const char *word)
{
	memset(m, 0, sizeof *m);
	m->is_running = true;
	m->weight = 1;
	m->port = 5432;
	m->name[0] = word[0];
	snprintf(m->host, sizeof m->host, "host-%c", word[0]);
	for (const char *c = word + 1; *c; c++) {
		if (*c == '*')
			m->is_leader = true;
		else if (*c == '!')
			m->is_running = false;
		else if (*c == '~')
			m->weight = 0;
		else if (*c == '+')
			m->port = 6432;
		else if (*c == '/')
			m->timeline = (uint32_t)atoi(++c);
	}
}

static uint32_t doc_event(struct trace *t, char *words)
{
	struct cluster_doc doc = { 0 };
	char *rest = words;

	for (char *w; (w = strtok_r(rest, " ", &rest));)
		read_member(&doc.members[doc.count++], w);
	return view_on_cluster(&t->view, &doc);
}

static uint32_t probe_event(struct trace *t, int id, const char *what)
{
	struct probe_sample s = { .sent_us = t->now_us };
	char role;
	unsigned timeline;
	unsigned long lsn;

	cr_assert_eq(sscanf(what, "%c%u %lu", &role, &timeline, &lsn), 3, "%s", what);
	s.in_recovery = role == 'R';
	s.timeline = timeline;
	s.lsn = lsn;
	return view_on_probe(&t->view, (uint16_t)id, &s);
}

static void picture(struct trace *t, uint32_t actions)
{
	struct topology topology;
	size_t n = 0;

	view_topology(&t->view, &topology);
	t->picture[0] = '\0';
	for (uint16_t i = 0; i < topology.node_count; i++) {
		const struct topology_node *node = &topology.nodes[i];
		const char role[] = { "?Pr"[node->role], '\0' };

		n += (size_t)snprintf(t->picture + n, sizeof t->picture - n, "%s=%s%u%s ", node->name,
		                      node->is_running ? role : "-", (unsigned)node->timeline,
		                      node->weight ? "" : "~");
	}
	snprintf(t->picture + n, sizeof t->picture - n, "primary %s%s%s",
	         topology.primary < 0 ? "none" : topology.nodes[topology.primary].name,
	         actions & VIEW_LOOK ? " look" : "", actions & VIEW_PROBE ? " probe" : "");
}

static void feed(struct trace *t, const char *event)
{
	char text[128], *rest = text, *word;
	uint32_t actions;

	snprintf(text, sizeof text, "%s", event);
	word = strtok_r(rest, " ", &rest);
	t->now_us += 1000;
	if (strcmp(word, "doc") == 0 || strcmp(word, "hosts") == 0)
		actions = doc_event(t, rest);
	else if (strcmp(rest, "fails") == 0)
		actions = view_on_probe_failed(&t->view, (uint16_t)id_of(&t->view, word));
	else
		actions = probe_event(t, id_of(&t->view, word), rest);
	picture(t, actions);
}

/* Pairs of event and picture; NULL ends. An empty picture isn't compared. */
static void run(struct trace *t, const char *const *lines)
{
	for (; lines[0]; lines += 2) {
		feed(t, lines[0]);
		if (lines[1][0])
			cr_assert_str_eq(t->picture, lines[1], "after \"%s\": %s, not %s", lines[0], t->picture,
			                 lines[1]);
	}
}

static struct trace patroni(void)
{
	struct trace t = { 0 };

	view_init(&t.view, false, true, 7);
	return t;
}

static struct trace fixed(bool has_probes)
{
	struct trace t = { 0 };

	view_init(&t.view, true, has_probes, 7);
	return t;
}

Test(view, a_leader_is_published_only_once_its_own_probe_confirms_it)
{
	struct trace t = patroni();

	run(&t,
	    (const char *const[]){ "doc A*/1 B/1 C/1", "A=-1 B=-1 C=-1 primary none probe", "B R1 90",
	                           "A=-1 B=r1 C=-1 primary none look", "A P1 100",
	                           "A=P1 B=r1 C=-1 primary A", "C R1 90", "A=P1 B=r1 C=r1 primary A",
	                           "doc A*/1 B/1 C/1", "A=P1 B=r1 C=r1 primary A", NULL });
}

Test(view, a_leader_in_recovery_takes_no_writes_but_serves_reads)
{
	struct trace t = patroni();

	run(&t,
	    (const char *const[]){ "doc A* B", "", "A R1 100", "A=r1 B=-0 primary none look",
	                           "A R1 110", "A=r1 B=-0 primary none look", "A P2 120",
	                           "A=P2 B=-0 primary A", "A P2 130", "A=P2 B=-0 primary A", NULL });
}

Test(view, switchover_pauses_writes_until_the_new_leader_is_out_of_recovery)
{
	struct trace t = patroni();

	run(&t, (const char *const[]){ "doc A* B C", "",
	                               "A P1 100",   "",
	                               "B R1 100",   "",
	                               "C R1 100",   "A=P1 B=r1 C=r1 primary A",
	                               "A fails",    "A=-0 B=r1 C=r1 primary none look",
	                               "doc A B* C", "A=-0 B=r1 C=r1 primary none probe",
	                               "B R1 110",   "A=-0 B=r1 C=r1 primary none look",
	                               "B P2 120",   "A=-0 B=P2 C=r1 primary B",
	                               "A R2 125",   "A=r2 B=P2 C=r1 primary B",
	                               "C R2 125",   "A=r2 B=P2 C=r2 primary B",
	                               NULL });
}

Test(view, two_leaders_at_once_are_none)
{
	struct trace t = patroni();

	run(&t, (const char *const[]){
				"doc A* B", "", "A P1 100", "", "B P1 100", "A=P1 B=-1 primary A look", "doc A* B*",
				"A=-1 B=-1 primary none", "doc A* B", "A=P1 B=-1 primary A", NULL });
}

Test(view, a_node_of_an_older_timeline_is_never_primary_whoever_says_so)
{
	struct trace t = patroni();

	run(&t, (const char *const[]){ "doc A B*", "", "B P3 100", "A=-0 B=P3 primary B", "doc A*/9 B",
	                               "A=-9 B=-3 primary none probe", "A P2 900",
	                               "A=-2 B=-3 primary none", "A P2 910", "A=-2 B=-3 primary none",
	                               "A P3 920", "A=P3 B=-3 primary A", NULL });
}

Test(view, a_primary_without_known_timeline_is_in_doubt)
{
	struct trace t = patroni();

	run(&t, (const char *const[]){ "doc A*", "", "A P0 100", "A=-0 primary none", NULL });
}

Test(view, a_lone_promoted_replica_is_no_primary_until_the_authority_agrees)
{
	struct trace t = patroni();

	run(&t,
	    (const char *const[]){ "doc A* B", "", "A P1 100", "", "B R1 100", "A=P1 B=r1 primary A",
	                           "B P2 120", "A=P1 B=-2 primary A look", "doc A* B",
	                           "A=P1 B=-2 primary A", "doc A B*", "A=-1 B=P2 primary B", NULL });
}

Test(view, members_come_go_and_return_with_their_ids)
{
	struct trace t = patroni();
	uint32_t epoch;

	run(&t, (const char *const[]){ "doc A* B C", "", "C R1 5", "", NULL });
	cr_assert_eq(id_of(&t.view, "C"), 2);
	epoch = t.view.nodes[2].epoch;
	run(&t, (const char *const[]){ "doc A* C", "A=-0 C=r1 primary none probe", "doc A* B C~",
	                               "A=-0 B=-0 C=r1~ primary none probe", "doc A* B C+",
	                               "A=-0 B=-0 C=-0 primary none probe", NULL });
	cr_assert_eq(id_of(&t.view, "C"), 2);
	cr_assert_gt(t.view.nodes[2].epoch, epoch, "another address is another server");
}

Test(view, a_stopped_member_serves_nothing)
{
	struct trace t = patroni();

	run(&t, (const char *const[]){ "doc A* B!", "", "A P1 100", "A=P1 B=-0 primary A", "B R1 100",
	                               "A=P1 B=-1 primary A", "doc A*! B",
	                               "A=-1 B=r1 primary none probe", NULL });
}

Test(view, without_credentials_patroni_is_believed_but_not_back_in_time)
{
	struct trace t = { 0 };

	view_init(&t.view, false, false, 7);
	run(&t, (const char *const[]){ "doc A*/3 B/3", "A=P3 B=r3 primary A", "doc A/3 B*/4",
	                               "A=r3 B=P4 primary B", "doc A*/3 B/4",
	                               "A=?3 B=r4 primary none probe", NULL });
}

Test(view, a_single_fixed_host_is_the_primary_unasked)
{
	struct trace t = fixed(false);

	run(&t, (const char *const[]){ "hosts A", "A=P0 primary A", NULL });
}

Test(view, fixed_hosts_are_told_apart_by_probes_and_all_are_heard_first)
{
	struct trace t = fixed(true);

	run(&t, (const char *const[]){
				"hosts A B C", "A=-0 B=-0 C=-0 primary none", "A P1 100",
				"A=-1 B=-0 C=-0 primary none", "B R1 100", "A=-1 B=r1 C=-0 primary none", "C fails",
				"A=P1 B=r1 C=-0 primary A", "C R1 100", "A=P1 B=r1 C=r1 primary A", NULL });
}

Test(view, of_two_fixed_primaries_the_newer_timeline_wins_and_equal_ones_lose)
{
	struct trace t = fixed(true);

	run(&t, (const char *const[]){ "hosts A B", "", "A P1 100", "", "B P1 100",
	                               "A=-1 B=-1 primary none", "B P2 110", "A=-1 B=P2 primary B",
	                               "B fails", "A=-1 B=-0 primary none", "A P2 120",
	                               "A=P2 B=-0 primary A", NULL });
}

Test(view, freshness_follows_the_primary_and_falls_with_the_epoch)
{
	struct trace t = patroni();
	struct view_node *b;
	uint64_t first;

	run(&t, (const char *const[]){ "doc A* B", "", "A P1 1000", "", "B R1 900", "", NULL });
	b = &t.view.nodes[1];
	cr_assert_eq(b->fresh_as_of_us, 0, "it hasn't the position yet");
	feed(&t, "B R1 1000");
	first = b->fresh_as_of_us;
	cr_assert_eq(first, 2000, "the time of A's first probe");
	feed(&t, "A P1 2000");
	feed(&t, "B R1 1500");
	cr_assert_eq(b->fresh_as_of_us, first);
	feed(&t, "B R1 2000");
	cr_assert_gt(b->fresh_as_of_us, first);
	feed(&t, "B R2 2000");
	cr_assert_eq(b->fresh_as_of_us, 0, "another timeline");
	feed(&t, "B fails");
	feed(&t, "B R1 2000");
	cr_assert_gt(b->fresh_as_of_us, 0);
	feed(&t, "B fails");
	cr_assert_eq(b->fresh_as_of_us, 0, "it may come back with less");
}

Test(view, samples_of_the_old_primary_say_nothing_about_the_new_one)
{
	struct trace t = patroni();

	run(&t, (const char *const[]){ "doc A* B C", "", "A P1 1000", "", "C R1 1000", "", "B R1 1000",
	                               "", "doc A B* C", "", "B P2 1100", "", NULL });
	feed(&t, "C R1 5000"); /* beyond the fork on the dead timeline */
	cr_assert_leq(t.view.nodes[2].fresh_as_of_us, 2000);
	feed(&t, "C R2 1100");
	cr_assert_gt(t.view.nodes[2].fresh_as_of_us, 2000);
}

Test(view, a_replica_that_loses_its_stream_keeps_what_it_showed)
{
	struct trace t = patroni();
	uint32_t epoch;
	uint64_t fresh;

	run(&t, (const char *const[]){ "doc A* B", "", "A P3 1000", "", "B R3 1000", "", NULL });
	epoch = t.view.nodes[1].epoch;
	fresh = t.view.nodes[1].fresh_as_of_us;
	cr_assert_gt(fresh, 0);
	run(&t, (const char *const[]){ "A fails", "", "B R1 1100", "A=-0 B=r3 primary none",
	                               "B R0 1100", "A=-0 B=r3 primary none", NULL });
	cr_assert(t.view.nodes[1].epoch == epoch && t.view.nodes[1].fresh_as_of_us == fresh);
	run(&t, (const char *const[]){ "B fails", "", "B R1 1100", "A=-0 B=r1 primary none", NULL });
	cr_assert_neq(t.view.nodes[1].epoch, epoch);
}

Test(view, a_new_timeline_or_role_is_a_new_epoch)
{
	struct trace t = patroni();
	const struct view_node *b = &t.view.nodes[1];
	uint32_t epoch;

	run(&t, (const char *const[]){ "doc A* B", "", "B R3 100", "", NULL });
	epoch = b->epoch;
	feed(&t, "B R3 110");
	cr_assert_eq(b->epoch, epoch);
	feed(&t, "B R4 120");
	cr_assert_eq(b->epoch, epoch + 1);
	feed(&t, "B P4 130");
	cr_assert_eq(b->epoch, epoch + 2);
	feed(&t, "B P4 120");
	cr_assert_eq(b->epoch, epoch + 3, "its position went back");
}

Test(view, more_members_than_places_are_left_out)
{
	struct view view;
	struct cluster_doc doc = { .count = TOPOLOGY_NODES_MAX };
	struct topology topology;

	view_init(&view, false, true, 1);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < TOPOLOGY_NODES_MAX; i++) {
			memset(&doc.members[i], 0, sizeof doc.members[i]);
			snprintf(doc.members[i].name, NODE_NAME_MAX, "n%d", round * 40 + i);
			doc.members[i].is_running = true;
		}
		view_on_cluster(&view, &doc);
		view_topology(&view, &topology);
		cr_assert_eq(topology.node_count, view.node_count);
	}
	cr_assert_eq(view.node_count, TOPOLOGY_NODES_MAX);
}
