/* SPDX-License-Identifier: PostgreSQL */
/*
 * See gate.h. A list: an operator closes few databases at a time, and the
 * state is copied into each tenant, so that no request looks here.
 */
#include "proxy/gate.h"

#include <string.h>

#include "base/mem.h"
#include "config/config.h"

struct gate {
	struct list_node node;
	char *database; /* owned */
	struct gate_state state;
};

static struct gate *gate_find(const struct gates *g, const char *database)
{
	list_foreach(&g->databases, n) {
		struct gate *gate = list_entry(n, struct gate, node);

		if (strcmp(gate->database, database) == 0)
			return gate;
	}
	return NULL;
}

static void gate_drop(struct gates *g, struct gate *gate)
{
	list_remove(&g->databases, &gate->node);
	mem_free(gate->database);
	mem_free(gate);
}

void gates_init(struct gates *g)
{
	g->all = (struct gate_state){ 0 };
	list_init(&g->databases);
}

void gates_fini(struct gates *g)
{
	while (g->databases.count)
		gate_drop(g, list_entry(list_first(&g->databases), struct gate, node));
}

void gates_set(struct gates *g, const char *database, struct gate_state state)
{
	struct gate *gate;

	if (!*database) {
		g->all = state;
		return;
	}
	gate = gate_find(g, database);
	if (!state.is_paused && !state.is_disabled) {
		if (gate)
			gate_drop(g, gate);
		return;
	}
	if (!gate) {
		gate = mem_zalloc(sizeof *gate);
		gate->database = mem_strdup(database);
		list_append(&g->databases, &gate->node);
	}
	gate->state = state;
}

struct gate_state gates_own(const struct gates *g, const char *database)
{
	const struct gate *gate = *database ? gate_find(g, database) : NULL;

	if (!*database)
		return g->all;
	return gate ? gate->state : (struct gate_state){ 0 };
}

struct gate_state gates_of(const struct gates *g, const char *database)
{
	struct gate_state own = gates_own(g, database);

	return (struct gate_state){
		.is_paused = own.is_paused || g->all.is_paused,
		.is_disabled = own.is_disabled || g->all.is_disabled,
	};
}

bool gates_keep(struct gates *g, const struct config *cfg)
{
	size_t before = g->databases.count;

	list_foreach_safe (&g->databases, n, tmp) {
		struct gate *gate = list_entry(n, struct gate, node);

		if (!config_database_find(cfg, slice_str(gate->database)))
			gate_drop(g, gate);
	}
	return g->databases.count != before;
}

bool gates_resume_all(struct gates *g)
{
	bool was_paused = g->all.is_paused;

	g->all.is_paused = false;
	list_foreach_safe(&g->databases, n, tmp) {
		struct gate *gate = list_entry(n, struct gate, node);

		was_paused |= gate->state.is_paused;
		gate->state.is_paused = false;
		if (!gate->state.is_disabled)
			gate_drop(g, gate);
	}
	return was_paused;
}
