/* SPDX-License-Identifier: PostgreSQL */
/*
 * The rules of consistency by examples. The property over random histories is
 * in test_choose.c, with the choice that applies them.
 */
#include <criterion/criterion.h>

#include "route/consistency.h"

static struct node_live live;
static struct topology_node node = {
	.id = 3, .epoch = 9, .role = NODE_ROLE_REPLICA, .live = &live
};

static bool allows(enum config_consistency level, const struct session_reads *r, uint64_t fresh)
{
	atomic_store(&live.fresh_as_of_us, fresh);
	return consistency_allows(level, r, 500, &node);
}

Test(consistency, a_new_session_reads_any_known_replica)
{
	struct session_reads r;

	session_reads_init(&r);
	cr_assert(allows(CONSISTENCY_SESSION, &r, 1));
	cr_assert_not(allows(CONSISTENCY_SESSION, &r, 0), "nothing is known of it");
	cr_assert(allows(CONSISTENCY_EVENTUAL, &r, 0));
	cr_assert_not(allows(CONSISTENCY_STRONG, &r, 500));
	cr_assert(allows(CONSISTENCY_STRONG, &r, 501));
}

Test(consistency, own_writes_are_seen)
{
	struct session_reads r;

	session_reads_init(&r);
	session_write_done(&r, 100);
	session_write_done(&r, 90);
	cr_assert_not(allows(CONSISTENCY_SESSION, &r, 100));
	cr_assert(allows(CONSISTENCY_SESSION, &r, 101));
	cr_assert(allows(CONSISTENCY_EVENTUAL, &r, 5));
}

Test(consistency, reads_stay_or_move_forward)
{
	struct session_reads r;

	session_reads_init(&r);
	session_read_done(&r, &node, 200);
	cr_assert(allows(CONSISTENCY_SESSION, &r, 50), "the same node has what it showed");
	node.id = 4;
	cr_assert_not(allows(CONSISTENCY_SESSION, &r, 200), "another one may not");
	cr_assert(allows(CONSISTENCY_SESSION, &r, 201));
	node.id = 3;
	node.epoch++;
	cr_assert_not(allows(CONSISTENCY_SESSION, &r, 200), "it was restarted meanwhile");
	node.epoch--;
	session_write_done(&r, 300);
	cr_assert_not(allows(CONSISTENCY_SESSION, &r, 300), "staying doesn't show an own write");
}

Test(consistency, after_a_hit_no_replica_shows_less)
{
	struct session_reads r;

	session_reads_init(&r);
	session_read_done(&r, &node, 100);
	session_hit_done(&r, 200);
	session_hit_done(&r, 150); /* an older entry takes nothing back */
	cr_assert_not(allows(CONSISTENCY_SESSION, &r, 200), "staying doesn't help");
	cr_assert(allows(CONSISTENCY_SESSION, &r, 201));
	cr_assert(allows(CONSISTENCY_EVENTUAL, &r, 5));
}
