/* SPDX-License-Identifier: PostgreSQL */
/*
 * Answers of any bytes to GET /cluster: refused, or a document whose members lie
 * within their bounds and whose texts end.
 */
#include "base/assert.h"
#include "tier/patroni_doc.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct patroni_doc doc;

	if (patroni_doc_parse(slice_of(data, size), &doc) != WEIR_OK)
		return 0;
	WEIR_ASSERT(doc.cluster.count <= TOPOLOGY_NODES_MAX);
	for (size_t i = 0; i < doc.cluster.count; i++)
		WEIR_ASSERT(strnlen(doc.urls[i], PATRONI_URL_MAX) < PATRONI_URL_MAX);
	return 0;
}
