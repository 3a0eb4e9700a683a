/* SPDX-License-Identifier: PostgreSQL */
/*
 * Two Redis servers as small as the cache needs, on sockets of their own: each
 * command waits until the fuzz target has it answered as it should be, with
 * bytes of its own, or not at all. Both have the same data. One thread.
 */
#ifndef WEIR_TEST_FUZZ_TINY_REDIS_H
#define WEIR_TEST_FUZZ_TINY_REDIS_H

#include <stdbool.h>

#include "base/slice.h"

enum { TINY_NODES = 2, TINY_CONNS = 12, TINY_PORT = 6379 };

const char *tiny_redis_path(unsigned node); /* of its socket; made once */
void tiny_redis_begin(void); /* empty, the same servers as ever */
void tiny_redis_end(void);   /* all connections are closed */
bool tiny_redis_read(void);  /* accepts, takes in commands; true: something came */

/* Answers the oldest command of a connection; false: none waits there. */
bool tiny_redis_answer(unsigned conn);
/* Bytes in the place of that answer, if one is due. */
void tiny_redis_say(unsigned conn, struct slice bytes);
void tiny_redis_hang_up(unsigned conn);
/* Another server at the addresses: it has forgotten everything. */
void tiny_redis_restart(void);
/* "MOVED <slot of key> <path>:<port>" in the place of an answer. */
void tiny_redis_redirect(unsigned conn, unsigned node, bool is_ask);

#endif
