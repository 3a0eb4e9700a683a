/* SPDX-License-Identifier: PostgreSQL */
/*
 * The message that tells other pgweir processes what changed: a magic with the
 * version, the sender, the new token, then the things themselves. All numbers
 * big-endian. Read as hostile input. Pure, any thread.
 */
#include "cache/change.h"

static const char change_magic[4] = { 'p', 'g', 'w', '1' };

/* magic, sender u64, token; per thing: kind u8, oid u32, length of the scope u16, scope. */
void change_encode(const struct change_message *m, struct buf *out)
{
	buf_append(out, change_magic, sizeof change_magic);
	buf_append_u32(out, (uint32_t)(m->sender >> 32));
	buf_append_u32(out, (uint32_t)m->sender);
	buf_append_slice(out, m->token);
	for (unsigned i = 0; i < m->count; i++) {
		const struct change_item *item = &m->items[i];

		buf_append_u8(out, (uint8_t)item->kind);
		buf_append_u32(out, item->oid);
		buf_append_u16(out, (uint16_t)item->scope.len);
		buf_append_slice(out, item->scope);
	}
}

/* Takes n bytes off the front; false when there are fewer. */
static bool take(struct slice *s, size_t n, struct slice *out)
{
	if (s->len < n)
		return false;
	*out = slice_of(s->ptr, n);
	*s = slice_of(s->ptr + n, s->len - n);
	return true;
}

static bool take_number(struct slice *s, size_t bytes, uint64_t *out)
{
	struct slice raw;

	if (!take(s, bytes, &raw))
		return false;
	*out = 0;
	for (size_t i = 0; i < bytes; i++)
		*out = *out << 8 | (uint8_t)raw.ptr[i];
	return true;
}

static bool take_item(struct slice *s, struct change_item *out)
{
	uint64_t kind, oid, scope_len;

	if (!take_number(s, 1, &kind) || !take_number(s, 4, &oid) || !take_number(s, 2, &scope_len) ||
	    scope_len > CHANGE_SCOPE_MAX || !take(s, (size_t)scope_len, &out->scope))
		return false;
	out->kind = (enum generation_kind)kind;
	out->oid = (uint32_t)oid;
	return kind == GENERATION_ALL || kind == GENERATION_CLUSTER || kind == GENERATION_DATABASE ||
	       kind == GENERATION_TABLE;
}

bool change_decode(struct slice bytes, struct change_message *out)
{
	struct slice magic;

	out->count = 0;
	if (!take(&bytes, sizeof change_magic, &magic) ||
	    memcmp(magic.ptr, change_magic, sizeof change_magic) != 0 ||
	    !take_number(&bytes, 8, &out->sender) || !take(&bytes, CHANGE_TOKEN_BYTES, &out->token))
		return false;
	while (bytes.len > 0) {
		if (out->count == CHANGE_ITEMS_MAX || !take_item(&bytes, &out->items[out->count]))
			return false;
		out->count++;
	}
	return true;
}
