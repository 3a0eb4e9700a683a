/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the operator closed: PAUSE and KILL hold the requests of a database or of
 * all, DISABLE refuses its new clients. Every thread has a set of its own; the
 * control thread's is the one that is shown. Pure.
 */
#ifndef WEIR_PROXY_GATE_H
#define WEIR_PROXY_GATE_H

#include <stdbool.h>

#include "base/list.h"

struct gate_state {
	bool is_paused;
	bool is_disabled;
};

struct config;

struct gates {
	struct gate_state all;
	struct list databases; /* struct gate, private: those that aren't open */
};

void gates_init(struct gates *g);
void gates_fini(struct gates *g);
/* database "": what is said of all. Text is copied. */
void gates_set(struct gates *g, const char *database, struct gate_state state);
/* What was set under that very name. */
struct gate_state gates_own(const struct gates *g, const char *database);
/* What holds for a database: its own and what is said of all. */
struct gate_state gates_of(const struct gates *g, const char *database);
/* Forgets databases that the configuration doesn't know any more; true: there was one. */
bool gates_keep(struct gates *g, const struct config *cfg);
/* Opens what holds requests, of all and of every database; false: nothing did. */
bool gates_resume_all(struct gates *g);

#endif
