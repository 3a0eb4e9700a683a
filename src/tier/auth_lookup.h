/* SPDX-License-Identifier: PostgreSQL */
/*
 * One place where auth_query is asked: cluster, database, auth_user with its
 * password, query. Names stand in a line; equal ones are asked for once, up to
 * auth_query_connections different ones at the same time. For auth_query.c
 * alone. Control thread only.
 */
#ifndef WEIR_TIER_AUTH_LOOKUP_H
#define WEIR_TIER_AUTH_LOOKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"
#include "net/loop.h"
#include "tier/auth_query.h"
#include "tier/topology.h"

struct auth_name;

struct auth_lookups { /* what all of them share */
	struct pg_session_net net;
	struct auth_query_env env;
	struct list list;
	size_t session_count;
};

struct auth_asker {
	struct auth_lookup *lookup; /* borrowed: owns us */
	struct pg_session *session; /* owned; NULL: none */
	struct auth_name *name;     /* borrowed: asked for now; NULL: idle */
	char host[NODE_HOST_MAX];   /* of the session */
	uint16_t port;
	struct loop_timer idle;     /* armed while there is a session that asks nothing */
};

struct auth_lookup {
	struct list_node node;
	struct auth_lookups *owner;    /* borrowed: has us in its list */
	struct config *config;         /* counted: the texts below are its */
	const char *cluster, *auth_user, *sql;
	char *dbname, *password;       /* owned */
	struct map names;              /* of both lists */
	struct list line;              /* names that nobody asks for yet */
	struct list running;
	size_t question_count;
	bool is_failing;               /* said once, until an answer comes */
	struct loop_timer wake;
	size_t asker_count;
	struct auth_asker askers[];
};

/* In owner's list; texts are copied, config is counted. */
struct auth_lookup *auth_lookup_create(struct auth_lookups *owner, const struct config *config,
				       const struct config_database *db,
				       const struct auth_question *q);
bool auth_lookup_fits(const struct auth_lookup *l, const struct config *config,
		      const struct config_database *db, const struct auth_question *q);
void auth_lookup_ask(struct auth_lookup *l, struct auth_question *q);
/* Open questions are answered FAILED. It also goes by itself when it has been idle. */
void auth_lookup_destroy(struct auth_lookup *l);

#endif
