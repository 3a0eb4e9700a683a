/* SPDX-License-Identifier: PostgreSQL */
/*
 * Shared entries in BSON, so that other programs can look at them and fields
 * can be added under a new version number. The fields come in one order and
 * with one type each: v version, k key, g generations, c computed (wall clock),
 * t time to live, d description, r rows. The one file with libbson.
 *
 * Pure, any thread. libbson copies nothing on reading; on writing it grows its
 * own buffer, which the caller's bound limits beforehand.
 */
#include "cache/entry.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include <bson/bson.h>
#pragma GCC diagnostic pop

#include "cache/key.h"

enum { VERSION = 1, MESSAGE_HEADER = 5, KEY_BYTES = 16 };

bool shared_entry_encode(const struct shared_entry *e, struct buf *out)
{
	uint8_t key[KEY_BYTES];
	bson_t doc;
	bool is_ok;

	if (e->description.len > out->max || e->rows.len > out->max ||
	    e->description.len + e->rows.len + SHARED_ENTRY_OVERHEAD > out->max - out->len)
		return false;
	hash128_to_bytes(e->key, key);
	bson_init(&doc);
	is_ok = bson_append_int32(&doc, "v", 1, VERSION) &&
	        bson_append_binary(&doc, "k", 1, BSON_SUBTYPE_BINARY, key, sizeof key) &&
	        bson_append_int64(&doc, "g", 1, (int64_t)e->shared_sum) &&
	        bson_append_int64(&doc, "c", 1, e->computed_wall_us) &&
	        bson_append_int64(&doc, "t", 1, e->ttl_ms) &&
	        bson_append_binary(&doc, "d", 1, BSON_SUBTYPE_BINARY,
	                           (const uint8_t *)e->description.ptr, (uint32_t)e->description.len) &&
	        bson_append_binary(&doc, "r", 1, BSON_SUBTYPE_BINARY, (const uint8_t *)e->rows.ptr,
	                           (uint32_t)e->rows.len);
	if (is_ok)
		buf_append(out, bson_get_data(&doc), doc.len);
	bson_destroy(&doc);
	return is_ok && out->err == WEIR_OK;
}

/* The next field must have this one-letter name and type. */
static bool next_is(bson_iter_t *at, const char *name, bson_type_t type)
{
	return bson_iter_next(at) && strcmp(bson_iter_key(at), name) == 0 && bson_iter_type(at) == type;
}

static bool next_int64(bson_iter_t *at, const char *name, int64_t *out)
{
	if (!next_is(at, name, BSON_TYPE_INT64))
		return false;
	*out = bson_iter_int64(at);
	return true;
}

static bool next_binary(bson_iter_t *at, const char *name, struct slice *out)
{
	const uint8_t *data = NULL;
	bson_subtype_t subtype;
	uint32_t len = 0;

	if (!next_is(at, name, BSON_TYPE_BINARY))
		return false;
	bson_iter_binary(at, &subtype, &len, &data);
	*out = slice_of(data, len);
	return subtype == BSON_SUBTYPE_BINARY && data != NULL;
}

static bool read_fields(bson_iter_t *at, struct shared_entry *out)
{
	struct slice key;
	int64_t sum, ttl;

	if (!next_is(at, "v", BSON_TYPE_INT32) || bson_iter_int32(at) != VERSION)
		return false;
	if (!next_binary(at, "k", &key) || key.len != KEY_BYTES)
		return false;
	if (!next_int64(at, "g", &sum) || !next_int64(at, "c", &out->computed_wall_us) ||
	    !next_int64(at, "t", &ttl) || ttl <= 0 || ttl > UINT32_MAX)
		return false;
	if (!next_binary(at, "d", &out->description) || !next_binary(at, "r", &out->rows))
		return false;
	out->key = hash128_from_bytes((const uint8_t *)key.ptr);
	out->shared_sum = (uint64_t)sum;
	out->ttl_ms = (uint32_t)ttl;
	return !bson_iter_next(at) && at->err_off == 0;
}

bool shared_entry_decode(struct slice bytes, struct shared_entry *out)
{
	bson_iter_t at;
	bson_t doc;

	return bytes.len > 0 && bytes.len <= INT32_MAX &&
	       bson_init_static(&doc, (const uint8_t *)bytes.ptr, bytes.len) &&
	       bson_iter_init(&at, &doc) && read_fields(&at, out) &&
	       result_is_well_formed(out->description, out->rows);
}

/* The length of the message at the front, with its type byte; 0: not whole. */
static size_t message_len(struct slice s)
{
	const uint8_t *p = (const uint8_t *)s.ptr;
	uint32_t len;

	if (s.len < MESSAGE_HEADER)
		return 0;
	len = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
	return len >= 4 && len <= s.len - 1 ? (size_t)len + 1 : 0;
}

bool result_is_well_formed(struct slice description, struct slice rows)
{
	size_t len = message_len(description);

	if (len != description.len)
		return false;
	if (len > 0 && description.ptr[0] != 'T' && description.ptr[0] != 'n')
		return false;
	while ((len = message_len(rows)) > 0 && rows.ptr[0] == 'D')
		rows = slice_of(rows.ptr + len, rows.len - len);
	return len > 0 && len == rows.len && rows.ptr[0] == 'C';
}
