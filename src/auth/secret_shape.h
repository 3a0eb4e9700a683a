/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a stranger sees of a stored secret without knowing it: the method that it
 * leads to, and of SCRAM the cost and the salt's length. An invented user is given
 * the shape of one that exists, picked by its name as often as that shape occurs, so
 * that a shape says nothing about whether its user exists.
 */
#ifndef WEIR_AUTH_SECRET_SHAPE_H
#define WEIR_AUTH_SECRET_SHAPE_H

#include <stdatomic.h>
#include <stdint.h>

#include "auth/secret.h"
#include "base/slice.h"

enum { SHAPES_MAX = 16, SHAPE_PLACES = 16, SHAPE_SLOTS = 64 };

struct secret_shape {      /* zero-initialise: as PostgreSQL would make one today */
	enum secret_kind kind; /* NONE: SCRAM with the caller's defaults */
	uint32_t iterations;   /* SCRAM */
	uint32_t salt_len;
};

struct secret_shape secret_shape_of(struct slice stored);

/* How often each occurs among known secrets; of more than SHAPES_MAX the rest isn't counted. */
struct shape_census { /* zero-initialise; pure, any thread */
	struct {
		struct secret_shape shape;
		uint32_t count;
	} rows[SHAPES_MAX];
	uint32_t total;
};
void shape_census_add(struct shape_census *c, struct secret_shape shape);
void shape_census_remove(struct shape_census *c, struct secret_shape shape);
struct secret_shape shape_census_pick(const struct shape_census *c, uint64_t number);

/*
 * The same where secrets can't be listed, only asked for: a sample of those that were found, by
 * place (where they were asked for) and user. Any thread at any time.
 */
struct shape_sample { /* zero-initialise */
	_Atomic uint32_t slots[SHAPE_PLACES][SHAPE_SLOTS];
};
void shape_sample_note(struct shape_sample *s, struct slice place, struct slice user,
                       struct secret_shape shape);
struct secret_shape shape_sample_pick(struct shape_sample *s, struct slice place, uint64_t number);

#endif
