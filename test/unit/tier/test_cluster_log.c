/* SPDX-License-Identifier: PostgreSQL */
/*
 * Events between two topologies, as text.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tier/cluster_log.h"

static void note(void *arg, const char *event, bool is_bad, const struct topology_node *node)
{
	char *out = arg;
	size_t n = strlen(out);

	snprintf(out + n, 512 - n, "%s%s(%s)%s", n ? " " : "", event, node ? node->name : "",
	         is_bad ? "!" : "");
}

/* "A=P1 B=r1 C=-1": role and timeline; - not running. */
static struct topology make(const char *text)
{
	struct topology t = { .primary = -1 };
	char name, role;
	unsigned timeline;
	int used;

	while (sscanf(text, " %c=%c%u%n", &name, &role, &timeline, &used) == 3) {
		struct topology_node *n = &t.nodes[t.node_count];

		n->id = (uint16_t)(name - 'A');
		n->name[0] = name;
		n->is_running = role != '-';
		n->role = role == 'P' ? NODE_ROLE_PRIMARY : NODE_ROLE_REPLICA;
		n->timeline = timeline;
		if (role == 'P')
			t.primary = t.node_count;
		t.node_count++;
		text += used;
	}
	return t;
}

static void expect(const char *before, const char *after, const char *events)
{
	struct topology old = make(before), new_one = make(after);
	char out[512] = "";

	topology_diff(before[0] ? &old : NULL, &new_one, note, out);
	cr_assert_str_eq(out, events, "%s -> %s: %s, not %s", before, after, out, events);
}

Test(cluster_log, tells_what_changed_once)
{
	expect("", "A=P1 B=r1", "node_added(A) node_added(B) primary_found(A)");
	expect("", "A=-0", "node_added(A) no_primary()");
	expect("A=P1 B=r1", "A=P1 B=r1", "");
	expect("A=P1 B=r1", "A=-0 B=r1", "node_down(A)! no_primary(A)!");
	expect("A=-0 B=r1", "A=-0 B=r1", "");
	expect("A=-0 B=r1", "A=r2 B=P2", "node_up(A) node_role(B) primary_found(B)");
	expect("A=P1 B=r1", "A=r1 B=P2", "node_role(A) node_role(B) primary_changed(B)");
	expect("A=P1 B=r1", "A=P2 B=r1", "primary_changed(A)");
	expect("A=P1 B=r1", "A=P1 C=-1", "node_added(C) node_gone(B)");
}

Test(cluster_log, tells_of_a_pause)
{
	struct topology old = make("A=P1"), paused = make("A=P1");
	char out[512] = "";

	paused.is_paused = true;
	topology_diff(&old, &paused, note, out);
	topology_diff(&paused, &old, note, out);
	cr_assert_str_eq(out, "cluster_paused() cluster_resumed()");
}
