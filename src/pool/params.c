/* SPDX-License-Identifier: PostgreSQL */
/*
 * Immutable sets of reported parameters: one block each, an index and behind it
 * the messages that report them, as a log-in sends them. A change makes a new
 * block; sets are small (PostgreSQL 15 reports 14 of them) and changes are rare.
 */
#include "pool/params.h"

#include <endian.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/mem.h"
#include "wire/backend.h"
#include "wire/frame.h"

/* Of a message: type, length, and the NULs behind name and value. */
enum { PARAM_OVERHEAD = 1 + FRAME_LENGTH_BYTES + 2 };

struct param {
	uint32_t name_at, name_len;
	uint32_t value_at, value_len;
};

struct params {
	_Atomic uint32_t refcount;
	uint32_t count;
	uint32_t text_len;
	struct param index[PARAMS_MAX];
	char text[];
};

static struct params *params_alloc(size_t text_max)
{
	struct params *p = mem_zalloc(sizeof *p + text_max);

	p->refcount = 1;
	return p;
}

struct params *params_empty(void)
{
	return params_alloc(0);
}

struct params *params_get(struct params *p)
{
	if (p)
		atomic_fetch_add_explicit(&p->refcount, 1, memory_order_relaxed);
	return p;
}

void params_put(struct params **pp)
{
	struct params *p = *pp;

	*pp = NULL;
	if (p && atomic_fetch_sub_explicit(&p->refcount, 1, memory_order_acq_rel) == 1)
		mem_free(p);
}

static uint32_t params_text_add(struct params *p, struct slice s)
{
	uint32_t at = p->text_len;

	memcpy(p->text + at, s.ptr, s.len);
	p->text[at + s.len] = '\0';
	p->text_len += (uint32_t)s.len + 1;
	return at;
}

static void params_add(struct params *p, struct slice name, struct slice value)
{
	struct param *slot = &p->index[p->count++];
	uint32_t len = htobe32((uint32_t)(name.len + value.len + PARAM_OVERHEAD - 1));

	p->text[p->text_len++] = BE_PARAMETER_STATUS;
	memcpy(p->text + p->text_len, &len, sizeof len);
	p->text_len += FRAME_LENGTH_BYTES;
	slot->name_at = params_text_add(p, name);
	slot->name_len = (uint32_t)name.len;
	slot->value_at = params_text_add(p, value);
	slot->value_len = (uint32_t)value.len;
}

struct params *params_with(const struct params *old, struct slice name, struct slice value)
{
	struct params *p;
	bool replaced = false;

	if (name.len + value.len + PARAM_OVERHEAD > PARAMS_TEXT_MAX - old->text_len)
		return NULL;
	if (old->count == PARAMS_MAX && params_find(old, name).ptr == NULL)
		return NULL;
	p = params_alloc(old->text_len + name.len + value.len + PARAM_OVERHEAD);
	for (size_t i = 0; i < old->count; i++) {
		bool same = slice_equal(params_name(old, i), name);

		params_add(p, params_name(old, i), same ? value : params_value(old, i));
		replaced |= same;
	}
	if (!replaced)
		params_add(p, name, value);
	return p;
}

bool params_equal(const struct params *a, const struct params *b)
{
	return slice_equal(params_messages(a), params_messages(b));
}

size_t params_count(const struct params *p)
{
	return p ? p->count : 0;
}

struct slice params_name(const struct params *p, size_t i)
{
	WEIR_ASSERT(i < p->count);
	return slice_of(p->text + p->index[i].name_at, p->index[i].name_len);
}

struct slice params_value(const struct params *p, size_t i)
{
	WEIR_ASSERT(i < p->count);
	return slice_of(p->text + p->index[i].value_at, p->index[i].value_len);
}

struct slice params_find(const struct params *p, struct slice name)
{
	for (size_t i = 0; i < params_count(p); i++)
		if (slice_equal(params_name(p, i), name))
			return params_value(p, i);
	return slice_of(NULL, 0);
}

struct slice params_messages(const struct params *p)
{
	return p ? slice_of(p->text, p->text_len) : slice_of(NULL, 0);
}

unsigned params_server_major(const struct params *p)
{
	enum { DIGITS_MAX = 4 };
	struct slice text = params_find(p, slice_str("server_version"));
	unsigned major = 0;

	for (size_t i = 0; i < text.len && i < DIGITS_MAX; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			break;
		major = major * 10 + (unsigned)(text.ptr[i] - '0');
	}
	return major;
}
