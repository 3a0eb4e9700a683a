/* SPDX-License-Identifier: PostgreSQL */
/*
 * A made-up source for the console's tests, and its answers as text.
 */
#ifndef WEIR_TEST_ADMIN_FAKE_H
#define WEIR_TEST_ADMIN_FAKE_H

#include "admin/admin.h"

struct fake {
	struct admin_source source;
	struct metrics *metrics;
	struct config *cfg;
	struct topology topology;
	struct node_live live[2];
	bool is_accepting;
	bool is_refusing;     /* orders fail */
	bool is_slow;         /* answers come by fake_answer */
	admin_parts_fn *done; /* a collect that waits */
	void *done_ctx;
	unsigned wanted;
	char log[512]; /* orders given */
	struct admin *admin;
};

void fake_init(struct fake *f, const char *ini);
void fake_fini(struct fake *f);
void fake_answer(struct fake *f); /* the slow collect is done */

/*
 * Runs a text as a role and gives the answer: "col,col\na|b\nTAG\n", "ERROR code message\n",
 * "EMPTY\n"; Z, which must be last, isn't shown. Static memory.
 */
const char *fake_run(struct fake *f, enum admin_role role, const char *sql);
const char *fake_decode(const struct buf *out);

#endif
