/* SPDX-License-Identifier: PostgreSQL */
/*
 * The places to ask, see auth_lookup.h, and their bounds.
 */
#include "tier/auth_query.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "config/config.h"
#include "tier/auth_lookup.h"

enum {
	AUTH_QUERY_MAGIC = 0x61757468,
	LOOKUPS_MAX = 64, /* the fallback entry stands for databases that a stranger may name */
};

struct auth_query {
	unsigned magic;
	struct auth_lookups lookups;
};

static void text_wipe(char **text)
{
	if (*text)
		mem_wipe(*text, strlen(*text));
	mem_free(*text);
	*text = NULL;
}

void auth_question_destroy(struct auth_question *q)
{
	mem_free(q->database);
	mem_free(q->user);
	text_wipe(&q->auth_password);
	text_wipe(&q->secret);
	mem_free(q);
}

struct auth_query *auth_query_create(const struct pg_session_net *net,
				     const struct auth_query_env *env)
{
	struct auth_query *a = mem_zalloc(sizeof *a);

	a->magic = AUTH_QUERY_MAGIC;
	a->lookups.net = *net;
	a->lookups.env = *env;
	list_init(&a->lookups.list);
	return a;
}

void auth_query_destroy(struct auth_query *a)
{
	if (!a)
		return;
	WEIR_CHECK_MAGIC(a, AUTH_QUERY_MAGIC);
	list_foreach_safe(&a->lookups.list, n, next)
		auth_lookup_destroy(list_entry(n, struct auth_lookup, node));
	a->magic = 0;
	mem_free(a);
}

static struct auth_lookup *lookup_find(struct auth_query *a, const struct config *config,
				       const struct config_database *db,
				       const struct auth_question *q)
{
	list_foreach(&a->lookups.list, n) {
		struct auth_lookup *l = list_entry(n, struct auth_lookup, node);

		if (auth_lookup_fits(l, config, db, q))
			return l;
	}
	return a->lookups.list.count < LOOKUPS_MAX ?
		       auth_lookup_create(&a->lookups, config, db, q) : NULL;
}

/* Nothing waits there: room for another place to ask. */
static void drop_idle(struct auth_query *a)
{
	list_foreach_safe(&a->lookups.list, n, next) {
		struct auth_lookup *l = list_entry(n, struct auth_lookup, node);

		if (!l->question_count)
			auth_lookup_destroy(l);
	}
}

void auth_query_ask(struct auth_query *a, const struct config *config,
		    const struct config_database *db, struct auth_question *q)
{
	struct auth_lookup *l;

	WEIR_CHECK_MAGIC(a, AUTH_QUERY_MAGIC);
	WEIR_ASSERT(*db->auth_user);
	if (a->lookups.list.count >= LOOKUPS_MAX)
		drop_idle(a);
	l = lookup_find(a, config, db, q);
	/* Who has hung up meanwhile is still in line, so it could be longer than clients may be. */
	if (!l || l->question_count >= (size_t)config->global.max_client_conn) {
		snprintf(q->why, sizeof q->why, "too many %s are being asked for",
			 l ? "users" : "databases");
		q->answer = AUTH_ANSWER_FAILED;
		q->on_answer(q);
		return;
	}
	auth_lookup_ask(l, q);
}
