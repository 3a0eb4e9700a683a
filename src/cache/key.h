/* SPDX-License-Identifier: PostgreSQL */
/*
 * Names that stand for things: cache_key (declared in cache/cache.h) digests
 * everything that can change a result; generation_name the thing that a
 * generation counts. Both are equal in every process that shares a Redis.
 * Pure, any thread.
 */
#ifndef WEIR_CACHE_KEY_H
#define WEIR_CACHE_KEY_H

#include <stdint.h>

#include "base/hash.h"
#include "base/slice.h"

enum generation_kind {
	GENERATION_ALL = 'a',      /* everything under one Redis prefix */
	GENERATION_CLUSTER = 'c',  /* scope: the cluster's name */
	GENERATION_DATABASE = 'd', /* scope: "cluster/dbname" */
	GENERATION_TABLE = 't',    /* scope: "cluster/dbname", and the oid */
};

struct hash128 generation_name(enum generation_kind kind, struct slice scope, uint32_t oid);

enum { HASH128_HEX_LEN = 32 };
void hash128_hex(struct hash128 h, char out[HASH128_HEX_LEN]); /* no NUL */
struct hash128 hash128_from_bytes(const uint8_t bytes[16]);
void hash128_to_bytes(struct hash128 h, uint8_t bytes[16]); /* hi first, little-endian each */

#endif
