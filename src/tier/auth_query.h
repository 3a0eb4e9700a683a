/* SPDX-License-Identifier: PostgreSQL */
/*
 * Secrets of users that auth_file doesn't have: auth_query, asked as auth_user
 * on the primary, or on a replica while there is none. Every log-in asks anew,
 * so that a changed, expired or dropped role counts at once; equal names that
 * wait are asked for once. While no node can be asked, questions wait
 * until their time is over; a query that the server refuses fails them at once.
 * Up to auth_query_connections sessions per cluster, database and auth_user, closed
 * when they have been idle; at most max_client_conn questions in their line.
 * Control thread only.
 */
#ifndef WEIR_TIER_AUTH_QUERY_H
#define WEIR_TIER_AUTH_QUERY_H

#include "base/list.h"
#include "tier/pg_session.h"

struct config;
struct config_database;
struct topology;

enum auth_answer {
	AUTH_ANSWER_FOUND,   /* secret is set, perhaps empty: no password, or an expired one */
	AUTH_ANSWER_UNKNOWN, /* no such user */
	AUTH_ANSWER_FAILED,  /* nobody could be asked in time, or the query failed: `why` */
};

enum { AUTH_WHY_MAX = 256 };

/* The asker's memory from on_answer on; ours before. */
struct auth_question {
	struct list_node node;  /* private */
	uint64_t asked_us;      /* private */
	uint64_t wait_us;       /* how long to wait for a node */
	char *database;         /* owned: the entry whose auth_user, auth_query and nodes count */
	char *user;             /* owned */
	char *auth_password;    /* owned: auth_user's, plain; empty: none */
	enum auth_answer answer;
	char *secret;           /* owned; FOUND */
	char why[AUTH_WHY_MAX]; /* FAILED */
	void (*on_answer)(struct auth_question *q); /* also from inside auth_query_ask */
	void *arg;
};
void auth_question_destroy(struct auth_question *q); /* wipes */

struct auth_query;

struct auth_query_env { /* what it asks its owner */
	void *ctx;
	/* Borrowed until the next turn; NULL: none. */
	const struct topology *(*topology)(void *ctx, const char *cluster);
};

struct auth_query *auth_query_create(const struct pg_session_net *net,
				     const struct auth_query_env *env);
void auth_query_destroy(struct auth_query *a); /* open questions are answered FAILED */
void auth_query_ask(struct auth_query *a, const struct config *config,
		    const struct config_database *db, struct auth_question *q);

#endif
