/* SPDX-License-Identifier: PostgreSQL */
/*
 * Reads Patroni's /cluster document. What is missing or of the wrong type in
 * one member drops that member; what isn't JSON at all is refused. Pure; the
 * text comes from the network and is not trusted.
 */
#ifndef WEIR_TIER_PATRONI_DOC_H
#define WEIR_TIER_PATRONI_DOC_H

#include "base/assert.h"
#include "base/err.h"
#include "base/slice.h"
#include "tier/view.h"

enum {
	PATRONI_BODY_MAX = 1 << 20,
	PATRONI_URL_MAX = 512,
};

struct patroni_doc {
	struct cluster_doc cluster;
	/* http://host:port/cluster of each member, same index; empty: not said. */
	char urls[TOPOLOGY_NODES_MAX][PATRONI_URL_MAX];
};

/* WEIR_ERR_PROTOCOL: no document with members. Members past TOPOLOGY_NODES_MAX are left out. */
enum weir_err patroni_doc_parse(struct slice body, struct patroni_doc *out) WEIR_MUST_CHECK;

#endif
