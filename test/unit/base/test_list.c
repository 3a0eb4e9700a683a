/* SPDX-License-Identifier: PostgreSQL */
/* List: order, count, removal while walking. */
#include "base/list.h"

#include "support/trace.h"

#include <criterion/criterion.h>

#include <signal.h>

struct item {
	struct list_node node;
	int id;
};

static void expect(const struct list *l, const char *ids)
{
	struct trace t;

	trace_init(&t);
	list_foreach (l, n)
		buf_appendf(&t.text, "%d ", list_entry(n, struct item, node)->id);
	trace_expect(&t, ids);
	trace_fini(&t);
}

Test(list, keeps_order_and_count)
{
	struct item a = { .id = 1 }, b = { .id = 2 }, c = { .id = 3 };
	struct list l;

	list_init(&l);
	cr_assert_null(list_first(&l));
	cr_assert_null(list_pop(&l));
	list_append(&l, &a.node);
	list_append(&l, &b.node);
	list_prepend(&l, &c.node);
	expect(&l, "3 1 2 ");
	cr_assert_eq(list_first(&l), &c.node);
	cr_assert_eq(list_last(&l), &b.node);
	list_remove(&l, &a.node);
	cr_assert_not(list_node_linked(&a.node));
	cr_assert_eq(l.count, 2);
	cr_assert_eq(list_pop(&l), &c.node);
	cr_assert_eq(list_pop(&l), &b.node);
	cr_assert_eq(l.count, 0);
}

Test(list, the_current_node_may_leave)
{
	struct item items[10] = { 0 };
	struct list l;

	list_init(&l);
	for (int i = 0; i < 10; i++) {
		items[i].id = i;
		list_append(&l, &items[i].node);
	}
	list_foreach_safe (&l, n, tmp) {
		if (list_entry(n, struct item, node)->id % 3)
			list_remove(&l, n);
	}
	expect(&l, "0 3 6 9 ");
}

Test(list, a_linked_node_is_not_linked_again, .signal = SIGABRT)
{
	struct item a = { .id = 1 };
	struct list l;

	list_init(&l);
	list_append(&l, &a.node);
	list_append(&l, &a.node);
}
