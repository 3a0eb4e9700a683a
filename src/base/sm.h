/* SPDX-License-Identifier: PostgreSQL */
/*
 * State-machine checker. Each machine declares its states' names and a const
 * edge table; its one *_set_state() calls sm_check, which asserts that the edge
 * exists. Pure, any thread.
 */
#ifndef WEIR_BASE_SM_H
#define WEIR_BASE_SM_H

#include <stdint.h>

struct sm_spec {
	const char *name;
	const char *const *state_names;
	unsigned state_count;  /* at most 32 */
	const uint32_t *edges; /* edges[from] has bit `to` set where allowed */
};

#define SM_TO(state) (1u << (unsigned)(state))

void sm_check(const struct sm_spec *spec, unsigned from, unsigned to);

#endif
