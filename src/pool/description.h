/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a client or a server takes a statement's parameters and result to be: two
 * hashes, by which descriptions are told apart. Of a column count its name, type
 * and modifier, as where PostgreSQL says that a cached plan's result type has
 * changed; its table doesn't, nor does the format. Pure, any thread.
 */
#ifndef WEIR_POOL_DESCRIPTION_H
#define WEIR_POOL_DESCRIPTION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct description {
	uint64_t columns;    /* 0: not known */
	uint64_t parameters; /* 0: not known, as from the Describe of a portal */
};

/* The bodies of RowDescription and ParameterDescription. NoData has no columns. */
uint64_t description_of_columns(struct slice row_description);
uint64_t description_of_no_data(void);
uint64_t description_of_parameters(struct slice parameter_description);
/* Of a message too long to be kept: its length stands for it. */
uint64_t description_of_length(uint64_t bytes);
/* Parts that `from` knows. */
void description_learn(struct description *d, const struct description *from);

/* Is what the server has known to be what was told, in all that was told? */
static inline bool description_fits(const struct description *told, const struct description *has)
{
	return told->columns == has->columns &&
	       (!told->parameters || told->parameters == has->parameters);
}

#endif
