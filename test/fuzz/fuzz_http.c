/* SPDX-License-Identifier: PostgreSQL */
/*
 * HTTP heads and URLs from anybody: lengths stay inside the input, a head that
 * is complete needs no more bytes, and decoded text ends where it says.
 */
#include <stdint.h>

#include "base/assert.h"
#include "base/mem.h"
#include "net/http_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_head(struct slice in, enum weir_err err, const struct http_head *head)
{
	WEIR_ASSERT(err == WEIR_OK || err == WEIR_ERR_AGAIN || err == WEIR_ERR_LIMIT ||
	            err == WEIR_ERR_PROTOCOL);
	if (err == WEIR_OK)
		WEIR_ASSERT(head->head_len > 0 && head->head_len <= in.len);
	if (err == WEIR_ERR_AGAIN)
		WEIR_ASSERT(in.len < HTTP_HEAD_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of(data, size);
	struct http_head head, again;
	struct http_url url;
	char out[64];
	char *text;
	enum weir_err err = http_parse_request(in, &head);

	check_head(in, err, &head);
	if (err == WEIR_OK) {
		struct slice exact = slice_of(in.ptr, head.head_len);

		WEIR_ASSERT(http_parse_request(exact, &again) == WEIR_OK);
		WEIR_ASSERT(again.content_length == head.content_length);
	}
	check_head(in, http_parse_response(in, &head), &head);
	if (http_decode(in, out, sizeof(out)))
		WEIR_ASSERT(strlen(out) <= size);
	text = mem_slicedup(in);
	if (http_parse_url(text, &url) == WEIR_OK)
		WEIR_ASSERT(url.host[0] && url.path[0] == '/' && url.port);
	mem_free(text);
	return 0;
}
