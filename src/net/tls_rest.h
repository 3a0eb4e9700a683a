/* SPDX-License-Identifier: PostgreSQL */
/*
 * Rest for what isn't used: objects of tls_store.c of one loop, each awake or
 * put away. Every second those that weren't used since the last time are put
 * away; whoever needs one calls tls_rest_wake first, which costs a flag while
 * it is awake. For tls_session.c and the loop. The loop's thread only.
 */
#ifndef WEIR_NET_TLS_REST_H
#define WEIR_NET_TLS_REST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/list.h"

struct loop;

struct tls_rest {
	struct loop *loop;     /* borrowed; NULL: stays awake */
	void *object;          /* borrowed */
	void *away;            /* owned: what brings it back; NULL: it is awake */
	struct list_node node; /* in loop->awake */
	bool was_used;
};

/* An object that the store doesn't hold stays awake. */
void tls_rest_begin(struct tls_rest *rest, struct loop *loop, void *object);
void tls_rest_end(struct tls_rest *rest); /* awake, and nobody's in particular; idempotent */
void tls_rest_return(struct tls_rest *rest);

static inline void tls_rest_wake(struct tls_rest *rest)
{
	rest->was_used = true;
	if (rest->away)
		tls_rest_return(rest);
}

/* Looks at up to `count` of those that are awake, first at those not looked at for longest. */
void tls_rest_look(struct loop *loop, size_t count);
void tls_rest_stop(struct loop *loop); /* nobody is put away any more */

#endif
