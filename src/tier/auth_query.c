/* SPDX-License-Identifier: PostgreSQL */
/*
 * Look-ups of secrets, see auth_query.h. A lookup is one place to ask: cluster,
 * database, auth_user with its password, query. Its session asks for one user
 * at a time; all questions for that user get the answer. What a node's failure
 * leaves open is asked again on the node that the topology names then.
 */
#include "tier/auth_query.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "config/config.h"
#include "net/loop.h"
#include "tier/topology.h"

enum {
	AUTH_QUERY_MAGIC = 0x61757468,
	QUERY_TIMEOUT_US = 5 * 1000 * 1000,
	RETRY_US = 200 * 1000,
	IDLE_US = 60 * 1000 * 1000,
	LOOKUPS_MAX = 64, /* the fallback entry stands for databases that a stranger may name */
};

struct auth_lookup {
	struct list_node node;
	struct auth_query *owner;      /* borrowed: owns us */
	struct config *config;         /* counted: the texts below are its */
	const char *cluster, *auth_user, *sql;
	char *dbname, *password;       /* owned */
	char host[NODE_HOST_MAX];      /* of the session; empty: none yet */
	uint16_t port;
	struct pg_session *session;    /* owned; NULL: none */
	struct list questions;
	char *asking;                  /* owned: the user of the running query; NULL: idle */
	bool is_failing;               /* said once, until an answer comes */
	struct loop_timer timer;       /* retry while there are questions, else idle */
};

struct auth_query {
	unsigned magic;
	struct pg_session_net net;
	struct auth_query_env env;
	struct list lookups;
};

static void lookup_step(struct auth_lookup *l);

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

static void answer(struct auth_lookup *l, struct auth_question *q, enum auth_answer what)
{
	list_remove(&l->questions, &q->node);
	q->answer = what;
	q->on_answer(q);
}

static void answer_failed(struct auth_lookup *l, struct auth_question *q, const char *why)
{
	snprintf(q->why, sizeof q->why, "%s", why);
	answer(l, q, AUTH_ANSWER_FAILED);
}

/* user NULL: all questions. */
static void answer_user_failed(struct auth_lookup *l, const char *user, const char *why)
{
	list_foreach_safe(&l->questions, n, next) {
		struct auth_question *q = list_entry(n, struct auth_question, node);

		if (!user || strcmp(q->user, user) == 0)
			answer_failed(l, q, why);
	}
}

static void lookup_destroy(struct auth_lookup *l)
{
	answer_user_failed(l, NULL, "pgweir is stopping");
	loop_timer_cancel(&l->timer);
	list_remove(&l->owner->lookups, &l->node);
	pg_session_destroy(l->session);
	mem_free(l->dbname);
	text_wipe(&l->password);
	mem_free(l->asking);
	config_put(&l->config);
	mem_free(l);
}

static void on_timer(struct loop_timer *timer)
{
	struct auth_lookup *l = list_entry(timer, struct auth_lookup, timer);

	if (!l->questions.count)
		lookup_destroy(l);
	else
		lookup_step(l);
}

static void arm(struct auth_lookup *l, uint64_t delay_us)
{
	loop_timer_cancel(&l->timer);
	loop_timer_arm(l->owner->net.loop, &l->timer, delay_us, on_timer);
}

/* ---- the node to ask ---- */

static const struct topology_node *choose_node(const struct topology *t)
{
	if (!t)
		return NULL;
	if (t->primary >= 0)
		return &t->nodes[t->primary];
	for (uint16_t i = 0; i < t->node_count; i++)
		if (t->nodes[i].is_running)
			return &t->nodes[i];
	return NULL;
}

static void on_rows(void *arg, const struct pg_rows *rows);
static void on_failed(void *arg, const char *reason);
static const struct pg_session_ops session_ops = { on_rows, on_failed, NULL };

static void open_session(struct auth_lookup *l, const struct topology_node *node)
{
	const struct config_globals *g = &l->config->global;
	struct pg_session_target target = {
		.host = node->host,
		.port = node->port,
		.user = l->auth_user,
		.password = l->password,
		.dbname = l->dbname,
		.sslmode = option_words(OPTION_SSLMODE)[g->server_tls_sslmode],
		.sslrootcert = g->server_tls_ca_file,
		.sslcert = g->server_tls_cert_file,
		.sslkey = g->server_tls_key_file,
		.keeps_search_path = true,
	};

	pg_session_destroy(l->session);
	l->session = pg_session_create(&l->owner->net, &target, &session_ops, l);
	memcpy(l->host, node->host, sizeof l->host);
	l->port = node->port;
}

/* Points the session to the node to ask now; false: there is none. */
static bool aim(struct auth_lookup *l)
{
	const struct topology_node *node =
		choose_node(l->owner->env.topology(l->owner->env.ctx, l->cluster));

	if (!node)
		return false;
	if (!l->session || l->port != node->port || strcmp(l->host, node->host) != 0)
		open_session(l, node);
	return true;
}

/* ---- one user after the other ---- */

static void drop_overdue(struct auth_lookup *l, const char *why)
{
	uint64_t now = clock_monotonic_us();

	list_foreach_safe(&l->questions, n, next) {
		struct auth_question *q = list_entry(n, struct auth_question, node);

		if (now - q->asked_us >= q->wait_us)
			answer_failed(l, q, why);
	}
}

/* Asks the next question, or waits for a node, or for nothing to do any more. */
static void lookup_step(struct auth_lookup *l)
{
	struct auth_question *q;

	if (l->asking)
		return;
	if (!l->questions.count) {
		arm(l, IDLE_US);
		return;
	}
	if (!aim(l)) {
		drop_overdue(l, "there is no node that could be asked");
		arm(l, RETRY_US);
		return;
	}
	q = list_entry(list_first(&l->questions), struct auth_question, node);
	l->asking = mem_strdup(q->user);
	loop_timer_cancel(&l->timer);
	pg_session_query_with(l->session, l->sql, l->asking, QUERY_TIMEOUT_US);
}

static void on_rows(void *arg, const struct pg_rows *rows)
{
	struct auth_lookup *l = arg;
	const char *secret = pg_rows_text(rows, 0, 1);
	bool is_known = pg_rows_text(rows, 0, 0) != NULL;
	char *user = l->asking;

	l->asking = NULL;
	l->is_failing = false;
	list_foreach_safe(&l->questions, n, next) {
		struct auth_question *q = list_entry(n, struct auth_question, node);

		if (strcmp(q->user, user) != 0)
			continue;
		if (is_known)
			q->secret = mem_strdup(secret ? secret : "");
		answer(l, q, is_known ? AUTH_ANSWER_FOUND : AUTH_ANSWER_UNKNOWN);
	}
	mem_free(user);
	lookup_step(l);
}

/*
 * Its connection is gone either way. What the server refused, it may have refused for that user's
 * name alone: the others ask for themselves, and at once, or a stranger could make them wait.
 */
static void on_failed(void *arg, const char *reason)
{
	struct auth_lookup *l = arg;
	bool is_final = pg_session_was_refused(l->session);
	char why[AUTH_WHY_MAX], *user = l->asking;

	snprintf(why, sizeof why, "%s", reason);
	if (!l->asking)
		return; /* an idle connection ended */
	if (!l->is_failing)
		log_warn("auth_query_failed",
			 "cluster=%s db=%s user=%s host=%s port=%u reason=\"%s\"", l->cluster,
			 l->dbname, l->auth_user, l->host, l->port, why);
	l->is_failing = true;
	l->asking = NULL;
	if (is_final)
		answer_user_failed(l, user, why);
	mem_free(user);
	drop_overdue(l, why);
	arm(l, is_final ? 0 : RETRY_US);
}

/* ---- life ---- */

struct auth_query *auth_query_create(const struct pg_session_net *net,
				     const struct auth_query_env *env)
{
	struct auth_query *a = mem_zalloc(sizeof *a);

	a->magic = AUTH_QUERY_MAGIC;
	a->net = *net;
	a->env = *env;
	list_init(&a->lookups);
	return a;
}

void auth_query_destroy(struct auth_query *a)
{
	if (!a)
		return;
	WEIR_CHECK_MAGIC(a, AUTH_QUERY_MAGIC);
	list_foreach_safe(&a->lookups, n, next)
		lookup_destroy(list_entry(n, struct auth_lookup, node));
	a->magic = 0;
	mem_free(a);
}

static bool lookup_fits(const struct auth_lookup *l, const struct config_database *db,
			const struct auth_question *q)
{
	return strcmp(l->cluster, db->cluster->name) == 0 &&
	       strcmp(l->auth_user, db->auth_user) == 0 && strcmp(l->sql, db->auth_query) == 0 &&
	       strcmp(l->password, q->auth_password) == 0 &&
	       slice_is(config_dbname(db, slice_str(q->database)), l->dbname);
}

static struct auth_lookup *lookup_find(struct auth_query *a, const struct config *config,
				       const struct config_database *db,
				       const struct auth_question *q)
{
	struct auth_lookup *l;

	list_foreach(&a->lookups, n) {
		l = list_entry(n, struct auth_lookup, node);
		/* TLS files may have changed with a reload: then another session. */
		if (l->config == config && lookup_fits(l, db, q))
			return l;
	}
	if (a->lookups.count >= LOOKUPS_MAX)
		return NULL;
	l = mem_zalloc(sizeof *l);
	l->owner = a;
	l->config = config_get((struct config *)(uintptr_t)config);
	l->cluster = db->cluster->name;
	l->auth_user = db->auth_user;
	l->sql = db->auth_query;
	l->dbname = mem_slicedup(config_dbname(db, slice_str(q->database)));
	l->password = mem_strdup(q->auth_password);
	list_init(&l->questions);
	list_append(&a->lookups, &l->node);
	return l;
}

/* Nothing waits there: room for another place to ask. */
static void drop_idle(struct auth_query *a)
{
	list_foreach_safe(&a->lookups, n, next) {
		struct auth_lookup *l = list_entry(n, struct auth_lookup, node);

		if (!l->questions.count && !l->asking)
			lookup_destroy(l);
	}
}

void auth_query_ask(struct auth_query *a, const struct config *config,
		    const struct config_database *db, struct auth_question *q)
{
	struct auth_lookup *l;

	WEIR_CHECK_MAGIC(a, AUTH_QUERY_MAGIC);
	WEIR_ASSERT(*db->auth_user);
	if (a->lookups.count >= LOOKUPS_MAX)
		drop_idle(a);
	l = lookup_find(a, config, db, q);
	/* Who has hung up meanwhile is still in line, so it could be longer than clients may be. */
	if (!l || l->questions.count >= (size_t)config->global.max_client_conn) {
		snprintf(q->why, sizeof q->why, "too many %s are being asked for",
			 l ? "users" : "databases");
		q->answer = AUTH_ANSWER_FAILED;
		q->on_answer(q);
		return;
	}
	q->asked_us = clock_monotonic_us();
	list_append(&l->questions, &q->node);
	if (!l->asking)
		arm(l, 0);
}
