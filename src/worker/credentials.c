/* SPDX-License-Identifier: PostgreSQL */
/*
 * See credentials.h. auth_user's own password comes from auth_file, which the
 * settings hold; it must be a plain one, since the question is asked over libpq.
 */
#include "worker/credentials.h"

#include "auth/userlist.h"
#include "base/log.h"
#include "base/mem.h"
#include "proxy/client.h"
#include "proxy/login.h"
#include "tier/auth_query.h"
#include "tier/tier.h"
#include "worker/control_priv.h"

struct secret_request { /* heap; one thread at a time */
	struct mail mail;
	struct control *control;
	unsigned worker;
	uint64_t client_id;
	struct auth_question *question; /* owned */
};

static void request_destroy(struct secret_request *r)
{
	auth_question_destroy(r->question);
	mem_free(r);
}

/* On the client's worker again. */
static void run_answer(struct task *t, struct proxy *p)
{
	struct secret_request *r = t->ptr;
	const struct auth_question *q = r->question;
	struct client *client = proxy_client_by_id(p, r->client_id);

	if (client && q->answer == AUTH_ANSWER_FAILED)
		login_secret_failed(client);
	else if (client)
		login_secret(client, slice_str(q->answer == AUTH_ANSWER_FOUND ? q->secret : ""));
	request_destroy(r);
}

static void on_answer(struct auth_question *q)
{
	struct secret_request *r = q->arg;
	struct task *t;

	if (q->answer == AUTH_ANSWER_FAILED)
		log_info("auth_query_unanswered", "db=%s user=%s reason=\"%s\"", q->database, q->user,
			 q->why);
	t = task_create(run_answer);
	t->ptr = r;
	worker_post(r->control->workers[r->worker], t);
}

/* Plain, as libpq needs it; empty: none (the server may trust auth_user). */
static char *password_of(const struct settings *s, const struct config_database *db)
{
	struct slice secret = slice_of("", 0);

	if (!db)
		return mem_strdup("");
	if (*db->password && strcmp(db->user, db->auth_user) == 0)
		return mem_strdup(db->password);
	if (userlist_find(s->users, slice_str(db->auth_user), &secret) != WEIR_OK ||
	    secret_classify(secret) != SECRET_PLAIN)
		return mem_strdup("");
	return mem_slicedup(secret);
}

static void on_request(struct mail *mail, void *receiver)
{
	struct secret_request *r = list_entry(mail, struct secret_request, mail);
	struct control *c = receiver;
	struct auth_question *q = r->question;
	const struct config *cfg = c->settings->config;
	const struct config_database *db = config_database_find(cfg, slice_str(q->database));

	r->control = c;
	if (!c->tier) { /* the process is stopping, its clients are gone */
		request_destroy(r);
		return;
	}
	q->auth_password = password_of(c->settings, db);
	q->wait_us = db ? db->failover_wait_timeout_us : 0;
	if (cfg->global.client_login_timeout_us && q->wait_us > cfg->global.client_login_timeout_us)
		q->wait_us = cfg->global.client_login_timeout_us;
	tier_ask_secret(c->tier, q);
}

void credentials_hook(void *ctx, struct proxy *proxy, struct client *client, struct slice database,
		      struct slice user)
{
	struct control *c = ctx;
	struct secret_request *r = mem_zalloc(sizeof *r);

	r->question = mem_zalloc(sizeof *r->question);
	r->question->database = mem_slicedup(database);
	r->question->user = mem_slicedup(user);
	r->question->on_answer = on_answer;
	r->question->arg = r;
	r->worker = proxy->index;
	r->client_id = client->id;
	r->mail.deliver = on_request;
	mailbox_post(c->mailbox, &r->mail);
}
