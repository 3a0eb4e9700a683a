/* SPDX-License-Identifier: PostgreSQL */
/*
 * Topologies as the console shows them. Private to admin/. Control thread.
 */
#ifndef WEIR_ADMIN_NODES_H
#define WEIR_ADMIN_NODES_H

#include "admin/source.h"
#include "base/buf.h"

struct node_place {
	char host[NODE_HOST_MAX];
	uint16_t port;
};

/* Where the cluster's primary is; false when there is none. */
bool nodes_primary(const struct admin_source *source, const char *cluster, struct node_place *out);
/* "running", "down" or "ejected". */
const char *node_state(const struct topology_node *node, uint64_t now_us);
const char *node_role_text(enum node_role role);
/* Gauges per node, in the metrics page's format. */
void nodes_exposition(const struct admin_source *source, uint64_t now_us, struct buf *out);

#endif
