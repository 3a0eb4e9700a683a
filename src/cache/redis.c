/* SPDX-License-Identifier: PostgreSQL */
/*
 * The one file with hiredis, of which it uses the incremental reader only: the
 * socket belongs to net/ like every other one, so Redis traffic leaves with
 * the turn's other writes and the library's asynchronous context, which
 * asserts on replies that nobody asked for, isn't needed.
 *
 * The reader builds no reply trees: its callbacks write into one flat
 * redis_reply. Texts are copied, since the reader moves its buffer before it
 * hands a reply out. An array larger than anything pgweir asks for is refused
 * before memory is taken for it (the class of CVE-2021-32765). A deep reader
 * keeps the insides of nested arrays too, as one list; memory is taken for
 * values that have come, never for a count.
 */
#include "cache/redis.h"

#include "base/mem.h"

#include <hiredis/hiredis.h>

/* Whole replies may stand in front of the unfinished one in a chunk of this size. */
enum { CHUNK_SLACK = 1024 * 1024 };

struct redis_reader {
	redisReader *hi; /* owned */
	size_t max_bytes;
	size_t fed;      /* bytes since the last whole reply */
	struct buf text; /* of the reply under way; slices point here once it is whole */
	bool is_deep;
	struct redis_value *deep; /* owned */
	size_t deep_cap;
	struct redis_reply reply;
};

#if HIREDIS_MAJOR >= 1
typedef size_t element_count;
#else
typedef int element_count;
#endif

/* The next of the list; NULL: there are too many. */
static struct redis_value *deep_next(struct redis_reader *r)
{
	if (r->reply.deep_count == REDIS_DEEP_MAX)
		return NULL;
	if (r->reply.deep_count == r->deep_cap) {
		r->deep_cap = r->deep_cap ? 2 * r->deep_cap : REDIS_ELEMENTS_MAX;
		r->deep = mem_realloc(r->deep, r->deep_cap * sizeof *r->deep);
	}
	return &r->deep[r->reply.deep_count++];
}

/* Where the value of a task goes: the reply itself, an element, or nowhere (deeper). */
static struct redis_value *value_of(const redisReadTask *task)
{
	struct redis_reader *r = task->privdata;

	if (!task->parent)
		return &r->reply.value;
	if (r->is_deep)
		return deep_next(r);
	if (task->parent->parent || task->idx < 0 || task->idx >= REDIS_ELEMENTS_MAX)
		return NULL;
	return &r->reply.elements[task->idx];
}

static enum redis_type type_of(int hi_type)
{
	switch (hi_type) {
	case REDIS_REPLY_STRING:
		return REDIS_TYPE_STRING;
	case REDIS_REPLY_STATUS:
		return REDIS_TYPE_STATUS;
	case REDIS_REPLY_ERROR:
		return REDIS_TYPE_ERROR;
	default:
		return REDIS_TYPE_NIL; /* a type of RESP3, which pgweir never asks for */
	}
}

/* The callbacks return something that isn't NULL, or NULL to make the reader fail. */
static void *on_text(const redisReadTask *task, char *text, size_t len)
{
	struct redis_reader *r = task->privdata;
	struct redis_value *v = value_of(task);

	if (!v)
		return r->is_deep ? NULL : r;
	/* An offset for now: the buffer may still move. */
	*v = (struct redis_value){ .type = type_of(task->type),
		                       .text = { .ptr = NULL, .len = len },
		                       .integer = (int64_t)r->text.len };
	buf_append(&r->text, text, len);
	return r->text.err == WEIR_OK ? r : NULL;
}

static void *on_array(const redisReadTask *task, element_count count)
{
	struct redis_reader *r = task->privdata;
	struct redis_value *v = value_of(task);

	if (count < 0 || (size_t)count > (r->is_deep ? REDIS_DEEP_MAX : REDIS_ELEMENTS_MAX))
		return NULL;
	if (!task->parent && !r->is_deep)
		r->reply.count = (unsigned)count;
	if (v)
		*v = (struct redis_value){ .type = REDIS_TYPE_ARRAY, .integer = (int64_t)count };
	return v || !r->is_deep ? r : NULL;
}

static void *put(const redisReadTask *task, struct redis_value value)
{
	struct redis_reader *r = task->privdata;
	struct redis_value *v = value_of(task);

	if (v)
		*v = value;
	return v || !r->is_deep ? r : NULL;
}

static void *on_integer(const redisReadTask *task, long long integer)
{
	return put(task, (struct redis_value){ .type = REDIS_TYPE_INTEGER, .integer = integer });
}

static void *on_nil(const redisReadTask *task)
{
	return put(task, (struct redis_value){ .type = REDIS_TYPE_NIL });
}

static void on_free(void *reply)
{
	(void)reply;
}

static redisReplyObjectFunctions callbacks = {
	.createString = on_text,
	.createArray = on_array,
	.createInteger = on_integer,
	.createNil = on_nil,
	.freeObject = on_free,
};

struct redis_reader *redis_reader_create(size_t max_bytes)
{
	struct redis_reader *r = mem_zalloc(sizeof *r);

	r->hi = redisReaderCreateWithFunctions(&callbacks);
	WEIR_ASSERT(r->hi != NULL);
	r->hi->privdata = r;
	r->max_bytes = max_bytes + CHUNK_SLACK;
	buf_init(&r->text, max_bytes);
	return r;
}

struct redis_reader *redis_reader_create_deep(size_t max_bytes)
{
	struct redis_reader *r = redis_reader_create(max_bytes);

	r->is_deep = true;
	return r;
}

void redis_reader_destroy(struct redis_reader *r)
{
	redisReaderFree(r->hi);
	mem_free(r->deep);
	buf_fini(&r->text);
	mem_free(r);
}

enum weir_err redis_reader_feed(struct redis_reader *r, struct slice bytes)
{
	/* One reply at most is unfinished, and every finished one resets the count. */
	if (bytes.len > r->max_bytes - r->fed)
		return WEIR_ERR_LIMIT;
	r->fed += bytes.len;
	if (redisReaderFeed(r->hi, bytes.ptr, bytes.len) != REDIS_OK)
		return WEIR_ERR_PROTOCOL;
	return WEIR_OK;
}

static void settle_text(struct redis_reader *r, struct redis_value *v)
{
	if (v->type != REDIS_TYPE_STRING && v->type != REDIS_TYPE_STATUS && v->type != REDIS_TYPE_ERROR)
		return;
	v->text.ptr = v->text.len ? r->text.data + v->integer : "";
	v->integer = 0;
}

enum weir_err redis_reader_next(struct redis_reader *r, const struct redis_reply **reply)
{
	void *whole = NULL;

	if (r->hi->ridx == -1) { /* none under way */
		buf_clear(&r->text);
		r->reply.count = 0;
		r->reply.deep_count = 0;
	}
	if (redisReaderGetReply(r->hi, &whole) != REDIS_OK)
		return WEIR_ERR_PROTOCOL;
	if (!whole)
		return WEIR_ERR_AGAIN;
	r->fed = r->hi->len - r->hi->pos;
	settle_text(r, &r->reply.value);
	for (unsigned i = 0; i < r->reply.count; i++)
		settle_text(r, &r->reply.elements[i]);
	for (size_t i = 0; i < r->reply.deep_count; i++)
		settle_text(r, &r->deep[i]);
	r->reply.deep = r->deep;
	*reply = &r->reply;
	return WEIR_OK;
}

bool redis_error_is(const struct redis_value *value, const char *word)
{
	size_t len = strlen(word);

	return value->type == REDIS_TYPE_ERROR && value->text.len >= len &&
	       memcmp(value->text.ptr, word, len) == 0 &&
	       (value->text.len == len || value->text.ptr[len] == ' ');
}

static void append_bulk(struct buf *out, struct slice s)
{
	buf_appendf(out, "$%zu\r\n", s.len);
	buf_append_slice(out, s);
	buf_append_str(out, "\r\n");
}

void redis_append_command(struct buf *out, size_t argc, const struct slice *argv)
{
	buf_appendf(out, "*%zu\r\n", argc);
	for (size_t i = 0; i < argc; i++)
		append_bulk(out, argv[i]);
}
