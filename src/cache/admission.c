/* SPDX-License-Identifier: PostgreSQL */
/*
 * Two count-min sketches of byte counters: requests of the window under way
 * and of the one before. A key's estimate is the smallest of its counters,
 * summed over both, so a key stays known for one to two windows. The keys are
 * digests already: their bits index the rows directly.
 *
 * Counters are bumped by a relaxed load and store: two threads may lose one
 * count to each other, which is cheaper than being exact and does no harm.
 * Whoever first sees a new window clears the older sketch.
 */
#include "cache/admission.h"

#include <stdatomic.h>

#include "base/mem.h"

enum { ROWS = 4, COLUMN_BITS = 14, COLUMNS = 1 << COLUMN_BITS };

struct sketch {
	_Atomic uint8_t counters[ROWS][COLUMNS];
};

struct admission {
	uint64_t window_us; /* 0: one window for ever */
	uint64_t created_us;
	_Atomic uint64_t window; /* number of the window under way; its sketch is window % 2 */
	struct sketch sketches[2];
};

struct admission *admission_create(uint32_t window_ms, uint64_t now_us)
{
	struct admission *a = mem_zalloc(sizeof *a);

	a->window_us = (uint64_t)window_ms * 1000;
	a->created_us = now_us;
	return a;
}

void admission_destroy(struct admission *a)
{
	mem_free(a);
}

static uint32_t column(const struct hash128 *key, unsigned row)
{
	uint64_t half = row < 2 ? key->hi : key->lo;

	return (uint32_t)(half >> (row % 2 ? 40 : 8)) & (COLUMNS - 1);
}

static void sketch_clear(struct sketch *s)
{
	for (unsigned row = 0; row < ROWS; row++)
		for (unsigned i = 0; i < COLUMNS; i++)
			atomic_store_explicit(&s->counters[row][i], 0, memory_order_relaxed);
}

/* Rolls over when a window has ended; after a pause of two both sketches are old. */
static uint64_t current_window(struct admission *a, uint64_t now_us)
{
	uint64_t seen = atomic_load_explicit(&a->window, memory_order_acquire);
	uint64_t now = 0;

	if (a->window_us > 0 && now_us > a->created_us)
		now = (now_us - a->created_us) / a->window_us;
	if (now <= seen)
		return seen;
	if (!atomic_compare_exchange_strong(&a->window, &seen, now))
		return seen;
	sketch_clear(&a->sketches[now % 2]);
	if (now - seen > 1)
		sketch_clear(&a->sketches[(now + 1) % 2]);
	return now;
}

static uint32_t sketch_min(const struct sketch *s, const struct hash128 *key)
{
	uint32_t min = UINT8_MAX;

	for (unsigned row = 0; row < ROWS; row++) {
		uint8_t n = atomic_load_explicit(&s->counters[row][column(key, row)], memory_order_relaxed);

		if (n < min)
			min = n;
	}
	return min;
}

uint32_t admission_count(struct admission *a, const struct hash128 *key, uint64_t now_us)
{
	uint64_t window = current_window(a, now_us);
	struct sketch *s = &a->sketches[window % 2];

	for (unsigned row = 0; row < ROWS; row++) {
		_Atomic uint8_t *counter = &s->counters[row][column(key, row)];
		uint8_t n = atomic_load_explicit(counter, memory_order_relaxed);

		if (n < UINT8_MAX)
			atomic_store_explicit(counter, (uint8_t)(n + 1), memory_order_relaxed);
	}
	return admission_estimate(a, key);
}

uint32_t admission_estimate(const struct admission *a, const struct hash128 *key)
{
	return sketch_min(&a->sketches[0], key) + sketch_min(&a->sketches[1], key);
}
