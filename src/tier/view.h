/* SPDX-License-Identifier: PostgreSQL */
/*
 * The topology view of one cluster: state + event -> state and actions. Pure:
 * no clock, socket, lock or log. Events are what the authority (Patroni) says
 * and what probes found; view_topology gives the picture that follows.
 *
 * Who may take writes: the member that the authority names as its only leader,
 * once a probe on that very server found it out of recovery and on a timeline
 * not older than any that took writes before. Else nobody: writes wait. With a
 * fixed host list the one server out of recovery on the newest timeline, after
 * every host has been asked; a single host is the primary as it is.
 */
#ifndef WEIR_TIER_VIEW_H
#define WEIR_TIER_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "tier/freshness.h"
#include "tier/topology.h"

struct member_claim { /* what the authority or the configuration says of a node */
	char name[NODE_NAME_MAX];
	char host[NODE_HOST_MAX];
	uint16_t port;
	uint16_t weight;
	uint32_t timeline; /* 0: not said */
	bool is_leader;
	bool is_running;
};

struct cluster_doc {
	uint16_t count;
	bool is_paused;
	struct member_claim members[TOPOLOGY_NODES_MAX];
};

struct probe_sample {
	uint64_t sent_us;  /* monotonic, before the question was sent */
	uint64_t lsn;      /* insert position of a primary, replay position of a replica */
	uint32_t timeline; /* 0: not known */
	bool in_recovery;
};

struct view_node {
	bool is_member;    /* in the last document */
	bool has_answered; /* probed or failed at least once */
	bool is_probed;    /* the last probe succeeded: `probe` holds */
	uint32_t epoch;
	uint64_t fresh_as_of_us;
	struct member_claim claim;
	struct probe_sample probe;
};

struct view {
	bool is_static;
	bool has_probes;    /* there are credentials: nothing is believed unprobed */
	bool is_paused;
	int leader;         /* node id by the authority; -1: none or more than one */
	int primary;        /* node id that view_topology shows; -1: none */
	uint32_t timeline;  /* newest that ever took writes */
	uint32_t first_epoch; /* of new nodes: another for each life of a view */
	struct freshness history;
	uint16_t node_count; /* ids in use */
	struct view_node nodes[TOPOLOGY_NODES_MAX]; /* by id */
};

enum { /* what an event asks of the caller */
	VIEW_CHANGED = 1u << 0, /* view_topology may differ */
	VIEW_LOOK = 1u << 1,    /* ask the authority now */
	VIEW_PROBE = 1u << 2,   /* probe the nodes now */
};

/* first_epoch: not one that an earlier view of this cluster has used, e.g. the wall second. */
void view_init(struct view *view, bool is_static, bool has_probes, uint32_t first_epoch);
/* After a reload: other rules from now on; ids, timeline and history stay. */
void view_set_rules(struct view *view, bool is_static, bool has_probes);
uint32_t view_on_cluster(struct view *view, const struct cluster_doc *doc);
uint32_t view_on_probe(struct view *view, uint16_t id, const struct probe_sample *sample);
/* The probe's connection failed, closed or timed out. */
uint32_t view_on_probe_failed(struct view *view, uint16_t id);

/* Fills nodes, roles, primary and timeline; refcount, generation and live are the caller's. */
void view_topology(const struct view *view, struct topology *out);
/* Do two topologies say the same (generation and live aside)? */
bool view_same(const struct topology *a, const struct topology *b);

#endif
