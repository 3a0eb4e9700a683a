/* SPDX-License-Identifier: PostgreSQL */
/*
 * Builders of the messages that a client sends (manual, "Message Formats").
 * The renaming ones run on the hot path: they append the given spans as they
 * are. Pure, any thread.
 */
#include "wire/build.h"

#include "wire/frontend.h"
#include "wire/startup.h"

void build_startup(struct buf *b, uint32_t version, const struct slice *pairs, size_t count)
{
	size_t start = build_begin(b, '\0');

	buf_append_u32(b, version);
	for (size_t i = 0; i < 2 * count; i++)
		build_cstring(b, pairs[i]);
	buf_append_u8(b, 0);
	build_end(b, start);
}

void build_cancel_request(struct buf *b, uint32_t pid, struct slice key)
{
	size_t start = build_begin(b, '\0');

	buf_append_u32(b, PG_CODE_CANCEL);
	buf_append_u32(b, pid);
	buf_append_slice(b, key);
	build_end(b, start);
}

void build_password(struct buf *b, struct slice password)
{
	size_t start = build_begin(b, FE_PASSWORD);

	build_cstring(b, password);
	build_end(b, start);
}

void build_sasl_initial(struct buf *b, const char *mechanism, struct slice data)
{
	size_t start = build_begin(b, FE_PASSWORD);

	build_cstring(b, slice_str(mechanism));
	buf_append_u32(b, (uint32_t)data.len);
	buf_append_slice(b, data);
	build_end(b, start);
}

void build_sasl_response(struct buf *b, struct slice data)
{
	size_t start = build_begin(b, FE_PASSWORD);

	buf_append_slice(b, data);
	build_end(b, start);
}

void build_query(struct buf *b, struct slice sql)
{
	size_t start = build_begin(b, FE_QUERY);

	build_cstring(b, sql);
	build_end(b, start);
}

void build_parse(struct buf *b, struct slice name, struct slice sql, struct slice types)
{
	size_t start = build_begin(b, FE_PARSE);

	build_cstring(b, name);
	build_cstring(b, sql);
	buf_append_u16(b, (uint16_t)(types.len / sizeof(uint32_t)));
	buf_append_slice(b, types);
	build_end(b, start);
}

void build_bind_renamed(struct buf *b, struct slice before, struct slice statement,
                        struct slice after)
{
	size_t start = build_begin(b, FE_BIND);

	buf_append_slice(b, before);
	build_cstring(b, statement);
	buf_append_slice(b, after);
	build_end(b, start);
}

static void target(struct buf *b, char type, char kind, struct slice name)
{
	size_t start = build_begin(b, type);

	buf_append_u8(b, (uint8_t)kind);
	build_cstring(b, name);
	build_end(b, start);
}

void build_describe(struct buf *b, char kind, struct slice name)
{
	target(b, FE_DESCRIBE, kind, name);
}

void build_close(struct buf *b, char kind, struct slice name)
{
	target(b, FE_CLOSE, kind, name);
}
