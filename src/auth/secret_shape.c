/* SPDX-License-Identifier: PostgreSQL */
/*
 * See secret_shape.h. A slot of the sample is one word: kind, salt's length,
 * iterations; 0 is empty. Users share slots by their hash, the newest one counts.
 */
#include "auth/secret_shape.h"

#include "auth/scram_secret.h"
#include "base/hash.h"

enum { ITERATION_BITS = 20, SALT_BITS = 8, ITERATIONS_TOP = (1 << ITERATION_BITS) - 1 };

_Static_assert((int)SCRAM_SALT_MAX_BYTES < 1 << SALT_BITS, "a slot holds it");
_Static_assert((int)SCRAM_ITERATIONS_MAX <= (int)ITERATIONS_TOP, "a slot holds it");

struct secret_shape secret_shape_of(struct slice stored)
{
	struct secret_shape shape = { .kind = secret_classify(stored) };
	struct scram_secret scram;

	if (shape.kind != SECRET_SCRAM || scram_secret_parse(stored, &scram) != WEIR_OK)
		return shape;
	shape.iterations = scram.iterations;
	shape.salt_len = (uint32_t)scram.salt_len;
	return shape;
}

static bool is_same(struct secret_shape a, struct secret_shape b)
{
	return a.kind == b.kind && a.iterations == b.iterations && a.salt_len == b.salt_len;
}

void shape_census_add(struct shape_census *c, struct secret_shape shape)
{
	size_t i = 0;

	if (shape.kind == SECRET_NONE)
		return;
	while (i < SHAPES_MAX && c->rows[i].count && !is_same(c->rows[i].shape, shape))
		i++;
	if (i == SHAPES_MAX)
		return;
	c->rows[i].shape = shape;
	c->rows[i].count++;
	c->total++;
}

void shape_census_remove(struct shape_census *c, struct secret_shape shape)
{
	for (size_t i = 0; i < SHAPES_MAX; i++) {
		if (!c->rows[i].count || !is_same(c->rows[i].shape, shape))
			continue;
		c->rows[i].count--;
		c->total--;
		return;
	}
}

struct secret_shape shape_census_pick(const struct shape_census *c, uint64_t number)
{
	uint64_t left = c->total ? number % c->total : 0;

	for (size_t i = 0; i < SHAPES_MAX && c->total; i++) {
		if (left < c->rows[i].count)
			return c->rows[i].shape;
		left -= c->rows[i].count;
	}
	return (struct secret_shape){ 0 };
}

static _Atomic uint32_t *row_of(struct shape_sample *s, struct slice place)
{
	return s->slots[hash_bytes(place.ptr, place.len) % SHAPE_PLACES];
}

void shape_sample_note(struct shape_sample *s, struct slice place, struct slice user,
                       struct secret_shape shape)
{
	uint32_t word = (uint32_t)shape.kind << (ITERATION_BITS + SALT_BITS) |
	                shape.salt_len << ITERATION_BITS | (shape.iterations & ITERATIONS_TOP);

	if (shape.kind != SECRET_NONE && shape.iterations <= ITERATIONS_TOP)
		atomic_store_explicit(&row_of(s, place)[hash_bytes(user.ptr, user.len) % SHAPE_SLOTS], word,
		                      memory_order_relaxed);
}

struct secret_shape shape_sample_pick(struct shape_sample *s, struct slice place, uint64_t number)
{
	_Atomic uint32_t *row = row_of(s, place);

	for (uint64_t i = 0; i < SHAPE_SLOTS; i++) {
		uint32_t word =
		        atomic_load_explicit(&row[(number + i) % SHAPE_SLOTS], memory_order_relaxed);

		if (word)
			return (struct secret_shape){
				.kind = (enum secret_kind)(word >> (ITERATION_BITS + SALT_BITS)),
				.iterations = word & ITERATIONS_TOP,
				.salt_len = word >> ITERATION_BITS & ((1 << SALT_BITS) - 1),
			};
	}
	return (struct secret_shape){ 0 };
}
