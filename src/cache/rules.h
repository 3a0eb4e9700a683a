/* SPDX-License-Identifier: PostgreSQL */
/*
 * The decisions of the cache, pure: may this result be stored, may this shared
 * entry be served, and until when. Any thread.
 */
#ifndef WEIR_CACHE_RULES_H
#define WEIR_CACHE_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum store_verdict {
	STORE_YES,
	STORE_NOT_HOT, /* not admitted when it was asked for */
	STORE_TOO_LARGE,
	STORE_CHANGED,      /* a dependency changed since the query was about to start */
	STORE_STALE_SOURCE, /* the replica may not have had the last change yet */
	STORE_OUTLIVED,     /* the query took longer than the entry may live */
};

struct store_facts {
	bool is_admitted;
	size_t result_bytes, entry_max_bytes;
	uint64_t sum_at_start, sum_now;
	uint64_t fresh_as_of_us; /* UINT64_MAX: read from the primary */
	uint64_t last_change_us;
	uint64_t now_us, expires_us;
};
enum store_verdict rules_store(const struct store_facts *facts);

struct shared_facts {
	uint64_t sum_now, sum_of_entry; /* of tokens; 0: not known */
	int64_t life_left_ms;           /* as Redis says */
	uint32_t ttl_of_entry_ms;       /* as it was stored with */
	uint32_t ttl_wanted_ms;         /* as this request allows */
};
/* How long it may still be used, in ms; 0: not at all. */
uint32_t rules_shared_life_ms(const struct shared_facts *facts);

/*
 * When a shared entry was computed, on our monotonic clock: wall clocks of hosts
 * are taken to agree within a second, so the answer is that much earlier. 0: not known.
 */
uint64_t rules_computed_us(int64_t computed_wall_us, int64_t now_wall_us, uint64_t now_us);

#endif
