/* SPDX-License-Identifier: PostgreSQL */
/*
 * See auth_lookup.h. The askers are sessions, each with one name at a time, and
 * no name with two of them; a question that comes while its name is being asked
 * for joins the next query for it, or a password changed in between would be
 * judged by what was read before. What a node's failure leaves open is asked
 * again on the node that the topology names then.
 */
#include "tier/auth_lookup.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "config/config.h"
#include "net/loop.h"
#include "tier/topology.h"

enum {
	RETRY_US = 200 * 1000,
	IDLE_US = 60 * 1000 * 1000,
	SESSIONS_MAX = 64, /* of all lookups, beyond the first of each */
};

/* Somebody is asked for, or waits for it; in one of its lookup's two lists. */
struct auth_name {
	struct map_node map;
	struct list_node node;
	char *user;          /* owned */
	struct list asked;   /* questions that the running query answers */
	struct list waiting; /* and those that came too late for it */
};

/* ---- names and their questions ---- */

static bool name_equal(const struct map_node *node, const void *key)
{
	return strcmp(map_entry(node, struct auth_name, map)->user, key) == 0;
}

static struct auth_name *name_find(struct auth_lookup *l, const char *user)
{
	uint64_t hash = hash_bytes(user, strlen(user));
	struct map_node *found = map_find(&l->names, hash, user);
	struct auth_name *name;

	if (found)
		return map_entry(found, struct auth_name, map);
	name = mem_zalloc(sizeof *name);
	name->user = mem_strdup(user);
	list_init(&name->asked);
	list_init(&name->waiting);
	map_insert(&l->names, &name->map, hash);
	list_append(&l->line, &name->node);
	return name;
}

static void name_destroy(struct auth_lookup *l, struct list *list, struct auth_name *name)
{
	WEIR_ASSERT(name->asked.count + name->waiting.count == 0);
	list_remove(list, &name->node);
	map_remove(&l->names, &name->map);
	mem_free(name->user);
	mem_free(name);
}

static void answer(struct auth_lookup *l, struct list *questions, struct auth_question *q,
		   enum auth_answer what)
{
	list_remove(questions, &q->node);
	l->question_count--;
	q->answer = what;
	q->on_answer(q);
}

static void answer_failed(struct auth_lookup *l, struct list *questions, const char *why)
{
	list_foreach_safe(questions, n, next) {
		struct auth_question *q = list_entry(n, struct auth_question, node);

		snprintf(q->why, sizeof q->why, "%s", why);
		answer(l, questions, q, AUTH_ANSWER_FAILED);
	}
}

/* Of the names in the line; who is being asked for has the query's own bound. */
static void drop_overdue(struct auth_lookup *l, const char *why)
{
	uint64_t now = clock_monotonic_us();

	list_foreach_safe(&l->line, n, next_name) {
		struct auth_name *name = list_entry(n, struct auth_name, node);

		list_foreach_safe(&name->waiting, m, next) {
			struct auth_question *q = list_entry(m, struct auth_question, node);

			if (now - q->asked_us < q->wait_us)
				continue;
			snprintf(q->why, sizeof q->why, "%s", why);
			answer(l, &name->waiting, q, AUTH_ANSWER_FAILED);
		}
		if (!name->waiting.count)
			name_destroy(l, &l->line, name);
	}
}

/* Unanswered, so to be asked again: before those who came later. */
static void put_back(struct auth_name *name)
{
	struct list_node *n;

	while ((n = list_last(&name->asked)) != NULL) {
		list_remove(&name->asked, n);
		list_prepend(&name->waiting, n);
	}
}

/* Its query is over: gone, or in line again for those who came meanwhile. */
static void name_release(struct auth_lookup *l, struct auth_name *name)
{
	if (!name->waiting.count) {
		name_destroy(l, &l->running, name);
		return;
	}
	list_remove(&l->running, &name->node);
	list_append(&l->line, &name->node);
}

/* ---- the end of a lookup ---- */

static void asker_close(struct auth_asker *asker)
{
	loop_timer_cancel(&asker->idle);
	if (asker->session)
		asker->lookup->owner->session_count--;
	pg_session_destroy(asker->session);
	asker->session = NULL;
}

static void fail_all(struct auth_lookup *l, struct list *names, const char *why)
{
	list_foreach_safe(names, n, next) {
		struct auth_name *name = list_entry(n, struct auth_name, node);

		answer_failed(l, &name->asked, why);
		answer_failed(l, &name->waiting, why);
		name_destroy(l, names, name);
	}
}

void auth_lookup_destroy(struct auth_lookup *l)
{
	fail_all(l, &l->line, "pgweir is stopping");
	fail_all(l, &l->running, "pgweir is stopping");
	for (size_t i = 0; i < l->asker_count; i++)
		asker_close(&l->askers[i]);
	loop_timer_cancel(&l->wake);
	map_fini(&l->names);
	list_remove(&l->owner->list, &l->node);
	mem_free(l->dbname);
	mem_wipe(l->password, strlen(l->password));
	mem_free(l->password);
	config_put(&l->config);
	mem_free(l);
}

static bool has_session(const struct auth_lookup *l)
{
	for (size_t i = 0; i < l->asker_count; i++)
		if (l->askers[i].session)
			return true;
	return false;
}

static void on_idle(struct loop_timer *timer)
{
	struct auth_asker *asker = list_entry(timer, struct auth_asker, idle);
	struct auth_lookup *l = asker->lookup;

	asker_close(asker);
	if (!l->question_count && !has_session(l))
		auth_lookup_destroy(l);
}

/* ---- asking ---- */

static void lookup_step(struct auth_lookup *l, const struct auth_asker *calling);

static void on_wake(struct loop_timer *timer)
{
	struct auth_lookup *l = list_entry(timer, struct auth_lookup, wake);

	if (l->question_count)
		lookup_step(l, NULL);
	else if (!has_session(l))
		auth_lookup_destroy(l);
}

static void wake_in(struct auth_lookup *l, uint64_t delay_us)
{
	struct loop *loop = l->owner->net.loop;

	if (l->wake.loop && l->wake.due_us <= loop_now_us(loop) + delay_us)
		return;
	loop_timer_cancel(&l->wake);
	loop_timer_arm(loop, &l->wake, delay_us, on_wake);
}

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

static void open_session(struct auth_asker *asker, const struct topology_node *node)
{
	const struct auth_lookup *l = asker->lookup;
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

	asker_close(asker);
	asker->session = pg_session_create(&l->owner->net, &target, &session_ops, asker);
	l->owner->session_count++;
	memcpy(asker->host, node->host, sizeof asker->host);
	asker->port = node->port;
}

static bool is_aimed(const struct auth_asker *asker, const struct topology_node *node)
{
	return asker->session && asker->port == node->port &&
	       strcmp(asker->host, node->host) == 0;
}

/* The first ones are the busiest, so that the others can be closed. NULL: all ask. */
static struct auth_asker *free_asker(struct auth_lookup *l)
{
	for (size_t i = 0; i < l->asker_count; i++) {
		struct auth_asker *asker = &l->askers[i];

		if (!asker->name && (asker->session || i == 0 ||
				     l->owner->session_count < SESSIONS_MAX))
			return asker;
	}
	return NULL;
}

static void ask(struct auth_asker *asker, struct auth_name *name)
{
	struct auth_lookup *l = asker->lookup;

	WEIR_ASSERT(!asker->name && name->waiting.count);
	list_remove(&l->line, &name->node);
	list_append(&l->running, &name->node);
	while (name->waiting.count)
		list_append(&name->asked, list_pop(&name->waiting));
	asker->name = name;
	loop_timer_cancel(&asker->idle);
	pg_session_query_with(asker->session, l->sql, name->user,
			      l->config->global.auth_query_timeout_us);
}

/* calling: from inside its session, which can ask on but can't be closed. */
static void lookup_step(struct auth_lookup *l, const struct auth_asker *calling)
{
	const struct topology_node *node;
	struct auth_asker *asker;

	if (!l->line.count)
		return;
	node = choose_node(l->owner->env.topology(l->owner->env.ctx, l->cluster));
	if (!node) {
		drop_overdue(l, "there is no node that could be asked");
		wake_in(l, RETRY_US);
		return;
	}
	while (l->line.count && (asker = free_asker(l)) != NULL) {
		if (!is_aimed(asker, node)) {
			if (asker == calling) {
				wake_in(l, 0);
				return;
			}
			open_session(asker, node);
		}
		ask(asker, list_entry(list_first(&l->line), struct auth_name, node));
	}
}

static struct auth_name *asker_done(struct auth_asker *asker)
{
	struct auth_name *name = asker->name;

	asker->name = NULL;
	loop_timer_arm(asker->lookup->owner->net.loop, &asker->idle, IDLE_US, on_idle);
	return name;
}

static void on_rows(void *arg, const struct pg_rows *rows)
{
	struct auth_asker *asker = arg;
	struct auth_lookup *l = asker->lookup;
	const char *secret = pg_rows_text(rows, 0, 1);
	bool is_known = pg_rows_text(rows, 0, 0) != NULL;
	struct auth_name *name = asker_done(asker);

	l->is_failing = false;
	list_foreach_safe(&name->asked, n, next) {
		struct auth_question *q = list_entry(n, struct auth_question, node);

		if (is_known)
			q->secret = mem_strdup(secret ? secret : "");
		answer(l, &name->asked, q, is_known ? AUTH_ANSWER_FOUND : AUTH_ANSWER_UNKNOWN);
	}
	name_release(l, name);
	lookup_step(l, asker);
}

static void log_failure(struct auth_asker *asker, const char *why)
{
	struct auth_lookup *l = asker->lookup;

	if (!l->is_failing)
		log_warn("auth_query_failed",
			 "cluster=%s db=%s user=%s host=%s port=%u reason=\"%s\"", l->cluster,
			 l->dbname, l->auth_user, asker->host, asker->port, why);
	l->is_failing = true;
}

/*
 * Its connection is gone either way. What the server refused, it may have refused for that user's
 * name alone: the others ask for themselves, and soon, or a stranger could make them wait.
 */
static void on_failed(void *arg, const char *reason)
{
	struct auth_asker *asker = arg;
	struct auth_lookup *l = asker->lookup;
	bool is_final = pg_session_was_refused(asker->session);
	struct auth_name *name;
	char why[AUTH_WHY_MAX];

	if (!asker->name)
		return; /* an idle connection ended */
	snprintf(why, sizeof why, "%s", reason);
	log_failure(asker, why);
	name = asker_done(asker);
	if (is_final)
		answer_failed(l, &name->asked, why);
	put_back(name);
	name_release(l, name);
	if (!is_final)
		drop_overdue(l, why);
	wake_in(l, is_final ? 0 : RETRY_US);
}

/* ---- life ---- */

struct auth_lookup *auth_lookup_create(struct auth_lookups *owner, const struct config *config,
				       const struct config_database *db,
				       const struct auth_question *q)
{
	size_t count = (size_t)config->global.auth_query_connections;
	struct auth_lookup *l = mem_zalloc(sizeof *l + count * sizeof l->askers[0]);

	WEIR_ASSERT(count > 0);
	l->owner = owner;
	l->config = config_get((struct config *)(uintptr_t)config);
	l->cluster = db->cluster->name;
	l->auth_user = db->auth_user;
	l->sql = db->auth_query;
	l->dbname = mem_slicedup(config_dbname(db, slice_str(q->database)));
	l->password = mem_strdup(q->auth_password);
	list_init(&l->line);
	list_init(&l->running);
	map_init(&l->names, name_equal);
	l->asker_count = count;
	for (size_t i = 0; i < count; i++)
		l->askers[i].lookup = l;
	list_append(&owner->list, &l->node);
	return l;
}

/* TLS files may have changed with a reload: then other sessions. */
bool auth_lookup_fits(const struct auth_lookup *l, const struct config *config,
		      const struct config_database *db, const struct auth_question *q)
{
	return l->config == config && strcmp(l->cluster, db->cluster->name) == 0 &&
	       strcmp(l->auth_user, db->auth_user) == 0 && strcmp(l->sql, db->auth_query) == 0 &&
	       strcmp(l->password, q->auth_password) == 0 &&
	       slice_is(config_dbname(db, slice_str(q->database)), l->dbname);
}

void auth_lookup_ask(struct auth_lookup *l, struct auth_question *q)
{
	q->asked_us = clock_monotonic_us();
	list_append(&name_find(l, q->user)->waiting, &q->node);
	l->question_count++;
	if (!l->wake.loop) /* else there is a reason to wait */
		lookup_step(l, NULL);
}
