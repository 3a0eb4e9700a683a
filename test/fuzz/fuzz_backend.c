/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a stranger may send to the sample application's backend: fields of a
 * head, a path, a query, a body. What is taken keeps its bounds: numbers are
 * positive, texts end inside their arrays, an amount comes back the same.
 */
#include <stdint.h>
#include <string.h>

#include "backend/amount.h"
#include "backend/header.h"
#include "backend/route.h"
#include "backend/rules.h"
#include "backend/trace.h"
#include "base/assert.h"
#include "base/mem.h"
#include "net/http_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_fields(struct slice head)
{
	char text[160], key[KEY_MAX + 1], comment[TRACE_COMMENT_MAX];
	struct trace trace;

	header_keeps_alive(head);
	header_matches_tag(head, "\"a\"");
	if (header_text(head, "Idempotency-Key", text, sizeof text) && rules_key(text, key))
		WEIR_ASSERT(strlen(key) >= 8 && strlen(key) <= KEY_MAX);
	if (header_text(head, "traceparent", text, sizeof text) && trace_parse(&trace, text))
		WEIR_ASSERT(strlen(trace.text) == TRACE_TEXT_LEN);
	trace_parse(&trace, text);
	trace_comment(&trace, comment);
	WEIR_ASSERT(!strstr(comment, "*/") || strstr(comment, "*/") == comment + strlen(comment) - 2);
}

static void check_target(struct slice target)
{
	char path[512];
	const char *wrong = NULL;
	struct page page;
	char *text = mem_slicedup(target);
	char *query = strchr(text, '?');

	if (query)
		*query++ = '\0';
	if (http_decode(slice_str(text), path, sizeof path)) {
		struct route_match m = route_find(ROUTE_GET, path);

		WEIR_ASSERT(m.route != ROUTE_ACCOUNT || m.id > 0);
		WEIR_ASSERT(m.route != ROUTE_QUOTE || (*m.symbol && strlen(m.symbol) <= SYMBOL_MAX));
	}
	for (enum route r = ROUTE_ACCOUNTS; r <= ROUTE_TRANSFERS; r++) {
		if (route_page(r, query, &page, &wrong))
			WEIR_ASSERT(page.limit > 0 && page.limit <= PAGE_MAX && page.beyond >= 0);
		else
			WEIR_ASSERT(wrong);
	}
	mem_free(text);
}

static void check_body(struct slice body)
{
	struct transfer_request r;
	struct refusal no;
	char text[AMOUNT_TEXT_MAX];
	int64_t again;

	if (!rules_body(body.ptr, body.len, &r, &no)) {
		WEIR_ASSERT(no.status >= 400 && no.detail);
		return;
	}
	WEIR_ASSERT(r.from > 0 && r.to > 0 && r.from != r.to && strlen(r.note) <= NOTE_MAX * 4);
	amount_format(r.amount, text);
	WEIR_ASSERT(amount_parse(text, &again) && again == r.amount);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of(data, size);
	struct http_head head;

	if (http_parse_request(in, &head) != WEIR_OK) {
		check_body(in);
		return 0;
	}
	check_fields(slice_of(in.ptr, head.head_len));
	check_target(head.target);
	check_body(slice_of(in.ptr + head.head_len, in.len - head.head_len));
	return 0;
}
