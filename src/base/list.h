/* SPDX-License-Identifier: PostgreSQL */
/*
 * Intrusive doubly linked list with a count. A node is in at most one list;
 * an unlinked node has next == NULL. The list's owner's thread only.
 */
#ifndef WEIR_BASE_LIST_H
#define WEIR_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/assert.h"

struct list_node {
	struct list_node *next; /* borrowed; NULL: in no list */
	struct list_node *prev; /* borrowed */
};

struct list {
	struct list_node head;
	size_t count;
};

/* clang-format off */
#define list_entry(node, type, member) ((type *)(void *)((char *)(node) - offsetof(type, member)))
/* clang-format on */

#define list_foreach(list, n) \
	for (struct list_node *n = (list)->head.next; n != &(list)->head; n = n->next)

/* The current node may be removed inside the loop. */
#define list_foreach_safe(list, n, tmp)                                               \
	for (struct list_node *n = (list)->head.next, *tmp = n->next; n != &(list)->head; \
	     n = tmp, tmp = n->next)

static inline void list_init(struct list *l)
{
	l->head.next = l->head.prev = &l->head;
	l->count = 0;
}

static inline bool list_node_linked(const struct list_node *n)
{
	return n->next != NULL;
}

static inline void list_insert_between(struct list *l, struct list_node *n, struct list_node *prev)
{
	WEIR_ASSERT(n->next == NULL);
	n->prev = prev;
	n->next = prev->next;
	prev->next->prev = n;
	prev->next = n;
	l->count++;
}

static inline void list_append(struct list *l, struct list_node *n)
{
	list_insert_between(l, n, l->head.prev);
}

static inline void list_prepend(struct list *l, struct list_node *n)
{
	list_insert_between(l, n, &l->head);
}

static inline void list_remove(struct list *l, struct list_node *n)
{
	WEIR_ASSERT(n->next != NULL && l->count > 0);
	n->prev->next = n->next;
	n->next->prev = n->prev;
	n->next = n->prev = NULL;
	l->count--;
}

static inline struct list_node *list_first(const struct list *l)
{
	return l->count ? l->head.next : NULL;
}

static inline struct list_node *list_last(const struct list *l)
{
	return l->count ? l->head.prev : NULL;
}

static inline struct list_node *list_pop(struct list *l)
{
	struct list_node *n = list_first(l);

	if (n)
		list_remove(l, n);
	return n;
}

#endif
