/* SPDX-License-Identifier: PostgreSQL */
/*
 * The topology view, see view.h. After every event view_settle recomputes who
 * is the primary from scratch; nothing is patched. A node that may have lost
 * state (its probe connection went, its timeline changed) starts a new epoch
 * and has no known freshness until it is probed again.
 */
#include "tier/view.h"

#include <string.h>

#include "base/assert.h"

void view_init(struct view *view, bool is_static, bool has_probes, uint32_t first_epoch)
{
	*view = (struct view){
		.is_static = is_static,
		.has_probes = has_probes,
		.first_epoch = first_epoch,
	};
	view->leader = -1;
	view->primary = -1;
}

void view_set_rules(struct view *view, bool is_static, bool has_probes)
{
	view->is_static = is_static;
	view->has_probes = has_probes;
	if (is_static)
		view->leader = -1;
}

/* One host, no authority: whatever it is, it is what the client asked for. */
static bool is_single_host(const struct view *view)
{
	unsigned members = 0;

	for (uint16_t id = 0; id < view->node_count; id++)
		members += view->nodes[id].is_member;
	return view->is_static && members == 1;
}

static int first_member(const struct view *view)
{
	for (uint16_t id = 0; id < view->node_count; id++)
		if (view->nodes[id].is_member)
			return id;
	return -1;
}

static bool is_probed_primary(const struct view_node *n)
{
	return n->is_probed && !n->probe.in_recovery && n->probe.timeline != 0;
}

static int primary_by_authority(const struct view *view)
{
	const struct view_node *n;

	if (view->leader < 0)
		return -1;
	n = &view->nodes[view->leader];
	if (!n->claim.is_running)
		return -1;
	if (view->has_probes)
		return is_probed_primary(n) && n->probe.timeline >= view->timeline ? view->leader : -1;
	return n->claim.timeline >= view->timeline ? view->leader : -1;
}

static int primary_by_probes(const struct view *view)
{
	uint32_t newest = view->timeline;
	int found = -1;

	for (uint16_t id = 0; id < view->node_count; id++) {
		const struct view_node *n = &view->nodes[id];

		if (n->is_member && !n->has_answered)
			return -1;
		if (!n->is_member || !is_probed_primary(n) || n->probe.timeline < newest)
			continue;
		/* Two on one timeline: neither; a newer timeline beats both. */
		found = n->probe.timeline > newest || found == -1 ? (int)id : -2;
		newest = n->probe.timeline;
	}
	return found < 0 ? -1 : found;
}

static uint32_t node_timeline(const struct view_node *n)
{
	return n->is_probed ? n->probe.timeline : n->claim.timeline;
}

static uint32_t view_settle(struct view *view)
{
	int before = view->primary;

	if (is_single_host(view))
		view->primary = first_member(view);
	else
		view->primary = view->is_static ? primary_by_probes(view) : primary_by_authority(view);
	if (view->primary >= 0 && node_timeline(&view->nodes[view->primary]) > view->timeline)
		view->timeline = node_timeline(&view->nodes[view->primary]);
	if (view->primary != before && view->primary >= 0)
		freshness_reset(&view->history);
	return VIEW_CHANGED;
}

static void node_new_epoch(struct view_node *n)
{
	n->epoch++;
	n->fresh_as_of_us = 0;
}

/* The id of a member's name: its own, a new one, or that of a node long gone; -1: full. */
static int node_slot(struct view *view, const struct member_claim *claim)
{
	int gone = -1;

	for (uint16_t id = 0; id < view->node_count; id++) {
		if (strcmp(view->nodes[id].claim.name, claim->name) == 0)
			return id;
		if (!view->nodes[id].is_member)
			gone = id;
	}
	if (view->node_count == TOPOLOGY_NODES_MAX)
		return gone;
	view->nodes[view->node_count].epoch = view->first_epoch;
	return view->node_count++;
}

static void node_take_claim(struct view_node *n, const struct member_claim *claim)
{
	bool is_moved = n->claim.port != claim->port || strcmp(n->claim.host, claim->host) != 0 ||
			strcmp(n->claim.name, claim->name) != 0;

	if (is_moved || !n->is_member) {
		node_new_epoch(n);
		n->is_probed = false;
		n->has_answered = false;
	}
	n->claim = *claim;
	n->is_member = true;
}

static bool is_listed(const struct cluster_doc *doc, const char *name)
{
	for (uint16_t i = 0; i < doc->count; i++)
		if (strcmp(doc->members[i].name, name) == 0)
			return true;
	return false;
}

/* The leader's id; -1: none or more than one. */
static int take_members(struct view *view, const struct cluster_doc *doc)
{
	unsigned leaders = 0;
	int leader = -1;

	for (uint16_t i = 0; i < doc->count; i++) {
		int id = node_slot(view, &doc->members[i]);

		if (id < 0)
			continue;
		node_take_claim(&view->nodes[id], &doc->members[i]);
		if (doc->members[i].is_leader) {
			leaders++;
			leader = id;
		}
	}
	return leaders == 1 ? leader : -1;
}

uint32_t view_on_cluster(struct view *view, const struct cluster_doc *doc)
{
	for (uint16_t id = 0; id < view->node_count; id++)
		view->nodes[id].is_member &= is_listed(doc, view->nodes[id].claim.name);
	view->leader = take_members(view, doc);
	view->is_paused = doc->is_paused;
	view_settle(view);
	/* The named leader isn't confirmed: find out now, not at the next round. */
	return VIEW_CHANGED | (view->leader >= 0 && view->primary < 0 ? VIEW_PROBE : 0u);
}

/* Does the probe contradict what the authority last said? */
static bool is_surprise(const struct view *view, uint16_t id, const struct probe_sample *s)
{
	if (view->is_static)
		return false;
	return s->in_recovery == (view->leader == (int)id) || s->timeline > view->timeline;
}

static void update_freshness(struct view *view, struct view_node *n)
{
	uint64_t as_of = freshness_as_of(&view->history, n->probe.timeline, n->probe.lsn);

	if (as_of > n->fresh_as_of_us)
		n->fresh_as_of_us = as_of;
}

/*
 * A replica that receives nothing at the moment knows an older timeline only.
 * Its session never broke, so it wasn't rewound: it still is where it was.
 */
static uint32_t replica_timeline(const struct view_node *n, const struct probe_sample *sample)
{
	bool was_replica = n->is_probed && n->probe.in_recovery && sample->in_recovery;

	return was_replica && sample->timeline < n->probe.timeline ? n->probe.timeline
								   : sample->timeline;
}

/* Not the server that was there, or one that shows less or other things than before. */
static bool is_other_server(const struct view_node *n, const struct probe_sample *sample)
{
	return n->is_probed && (n->probe.timeline != sample->timeline ||
				n->probe.in_recovery != sample->in_recovery ||
				n->probe.lsn > sample->lsn);
}

uint32_t view_on_probe(struct view *view, uint16_t id, const struct probe_sample *told)
{
	struct view_node *n = &view->nodes[id];
	struct probe_sample taken = *told;
	const struct probe_sample *sample = &taken;
	uint32_t actions;

	WEIR_ASSERT(id < view->node_count);
	taken.timeline = replica_timeline(n, told);
	if (is_other_server(n, sample))
		node_new_epoch(n);
	n->probe = taken;
	n->is_probed = true;
	n->has_answered = true;
	actions = view_settle(view);
	if (view->primary == (int)id && !sample->in_recovery)
		freshness_add(&view->history, sample->timeline, sample->sent_us, sample->lsn);
	else if (sample->in_recovery)
		update_freshness(view, n);
	return actions | (is_surprise(view, id, sample) ? VIEW_LOOK : 0u);
}

uint32_t view_on_probe_failed(struct view *view, uint16_t id)
{
	struct view_node *n = &view->nodes[id];
	bool was_primary = view->primary == (int)id;

	WEIR_ASSERT(id < view->node_count);
	if (n->is_probed)
		node_new_epoch(n);
	n->is_probed = false;
	n->has_answered = true;
	return view_settle(view) | (was_primary && !view->is_static ? VIEW_LOOK : 0u);
}

static bool is_usable(const struct view *view, uint16_t id)
{
	const struct view_node *n = &view->nodes[id];

	if (is_single_host(view))
		return true;
	if (!n->claim.is_running)
		return false;
	if (!view->has_probes)
		return true;
	/* Out of recovery without being the primary: a stranger, or not trusted yet. */
	return n->is_probed && (n->probe.in_recovery || view->primary == (int)id);
}

static enum node_role role_of(const struct view *view, uint16_t id)
{
	const struct view_node *n = &view->nodes[id];

	if (view->primary == (int)id)
		return NODE_ROLE_PRIMARY;
	if (n->is_probed)
		return n->probe.in_recovery ? NODE_ROLE_REPLICA : NODE_ROLE_UNKNOWN;
	if (view->has_probes || view->is_static || n->claim.is_leader)
		return NODE_ROLE_UNKNOWN;
	return NODE_ROLE_REPLICA;
}

void view_topology(const struct view *view, struct topology *out)
{
	memset(out, 0, sizeof *out);
	out->primary = -1;
	out->is_static = view->is_static;
	out->is_paused = view->is_paused;
	for (uint16_t id = 0; id < view->node_count; id++) {
		const struct view_node *n = &view->nodes[id];
		struct topology_node *to = &out->nodes[out->node_count];

		if (!n->is_member)
			continue;
		to->id = id;
		to->role = role_of(view, id);
		to->is_running = is_usable(view, id);
		to->port = n->claim.port;
		to->weight = n->claim.weight;
		to->timeline = node_timeline(n);
		to->epoch = n->epoch;
		memcpy(to->name, n->claim.name, sizeof to->name);
		memcpy(to->host, n->claim.host, sizeof to->host);
		if (view->primary == (int)id) {
			out->primary = out->node_count;
			out->timeline = to->timeline;
		}
		out->node_count++;
	}
}

static bool same_node(const struct topology_node *a, const struct topology_node *b)
{
	return a->id == b->id && a->role == b->role && a->is_running == b->is_running &&
	       a->port == b->port && a->weight == b->weight && a->timeline == b->timeline &&
	       a->epoch == b->epoch && strcmp(a->name, b->name) == 0 &&
	       strcmp(a->host, b->host) == 0;
}

bool view_same(const struct topology *a, const struct topology *b)
{
	if (a->node_count != b->node_count || a->primary != b->primary ||
	    a->timeline != b->timeline || a->is_paused != b->is_paused ||
	    a->is_static != b->is_static)
		return false;
	for (uint16_t i = 0; i < a->node_count; i++)
		if (!same_node(&a->nodes[i], &b->nodes[i]))
			return false;
	return true;
}
