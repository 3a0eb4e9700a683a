/* SPDX-License-Identifier: PostgreSQL */
/*
 * Compares topologies for the log, see cluster_log.h. Pure.
 */
#include "tier/cluster_log.h"

#include <string.h>

static const struct topology_node *find(const struct topology *t, uint16_t id)
{
	for (uint16_t i = 0; t && i < t->node_count; i++)
		if (t->nodes[i].id == id)
			return &t->nodes[i];
	return NULL;
}

static const struct topology_node *primary_of(const struct topology *t)
{
	return t && t->primary >= 0 ? &t->nodes[t->primary] : NULL;
}

static void diff_primary(const struct topology *old, const struct topology *new_one,
			 topology_event_fn *on_event, void *arg)
{
	const struct topology_node *before = primary_of(old);
	const struct topology_node *after = primary_of(new_one);

	if (after == NULL) {
		if (old == NULL || before)
			on_event(arg, "no_primary", before != NULL, before);
		return;
	}
	if (before == NULL || before->id != after->id || before->timeline != after->timeline)
		on_event(arg, before ? "primary_changed" : "primary_found", false, after);
}

static void diff_node(const struct topology_node *before, const struct topology_node *after,
		      topology_event_fn *on_event, void *arg)
{
	if (before == NULL) {
		on_event(arg, "node_added", false, after);
		return;
	}
	if (strcmp(before->host, after->host) != 0 || before->port != after->port)
		on_event(arg, "node_moved", false, after);
	if (before->is_running != after->is_running)
		on_event(arg, after->is_running ? "node_up" : "node_down", !after->is_running, after);
	else if (before->role != after->role)
		on_event(arg, "node_role", false, after);
}

void topology_diff(const struct topology *old, const struct topology *new_one,
		   topology_event_fn *on_event, void *arg)
{
	for (uint16_t i = 0; i < new_one->node_count; i++)
		diff_node(find(old, new_one->nodes[i].id), &new_one->nodes[i], on_event, arg);
	for (uint16_t i = 0; old && i < old->node_count; i++)
		if (find(new_one, old->nodes[i].id) == NULL)
			on_event(arg, "node_gone", false, &old->nodes[i]);
	if (old ? old->is_paused != new_one->is_paused : new_one->is_paused)
		on_event(arg, new_one->is_paused ? "cluster_paused" : "cluster_resumed", false, NULL);
	diff_primary(old, new_one, on_event, arg);
}
