/* SPDX-License-Identifier: PostgreSQL */
/*
 * Hashes of descriptions. A body that isn't well-formed counts by its bytes.
 */
#include "pool/description.h"

#include "base/hash.h"
#include "wire/reader.h"

enum { TABLE_BYTES = 6, TYPE_BYTES = 10, FORMAT_BYTES = 2 };

/* 0 is for what isn't known. */
static uint64_t known(uint64_t hash)
{
	return hash ? hash : 1;
}

uint64_t description_of_columns(struct slice row_description)
{
	struct reader r = reader_of(row_description);
	uint16_t count = reader_u16(&r);
	uint64_t hash = count;

	for (uint16_t i = 0; i < count && !r.failed; i++) {
		struct slice name = reader_cstring(&r), type;

		(void)reader_bytes(&r, TABLE_BYTES);
		type = reader_bytes(&r, TYPE_BYTES); /* OID, length, modifier */
		(void)reader_bytes(&r, FORMAT_BYTES);
		hash = hash_combine(hash, hash_bytes(name.ptr, name.len));
		hash = hash_combine(hash, hash_bytes(type.ptr, type.len));
	}
	if (reader_end(&r) != WEIR_OK)
		hash = hash_bytes(row_description.ptr, row_description.len);
	return known(hash_combine(hash, count));
}

uint64_t description_of_no_data(void)
{
	return known(hash_combine(0, UINT64_MAX));
}

uint64_t description_of_parameters(struct slice parameter_description)
{
	return known(hash_bytes(parameter_description.ptr, parameter_description.len));
}

uint64_t description_of_length(uint64_t bytes)
{
	return known(hash_combine(bytes, 0));
}

void description_learn(struct description *d, const struct description *from)
{
	if (from->columns)
		d->columns = from->columns;
	if (from->parameters)
		d->parameters = from->parameters;
}
