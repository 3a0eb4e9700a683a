/* SPDX-License-Identifier: PostgreSQL */
/*
 * See vacate.h. A mail goes round the workers: each closes its own idle servers of
 * the database, unless clients of its own are still connected there; the last one
 * frees the mail.
 */
#include "proxy/vacate.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "net/mailbox.h"
#include "proxy/link.h"

enum { LEAVING_US = 5000 * 1000 }; /* PostgreSQL waits so long: CountOtherDBBackends() */

struct vacate_mail {
	struct mail mail;
	size_t hops; /* workers that haven't seen it */
	char scope[]; /* as a tenant has it */
};

/* Clients of other users may share its pools. */
static bool has_clients(const struct tenant *t)
{
	if (t->client_count)
		return true;
	map_foreach(&t->proxy->tenants, n) {
		const struct tenant *guest = map_entry(n, struct tenant, map);

		if (guest->home == t && guest->client_count)
			return true;
	}
	return false;
}

static void empty(struct tenant_pool *tp)
{
	tenant_unlearn(tp->tenant);
	tenant_login_ok(tp);
	link_empty_pool(&tp->pool);
}

static void vacate_here(struct proxy *p, const struct vacate_mail *m)
{
	map_foreach(&p->pools, n) {
		struct tenant_pool *tp = map_entry(n, struct tenant_pool, by_ledger);

		if (strcmp(tp->tenant->scope, m->scope) != 0)
			continue;
		if (has_clients(tp->tenant))
			tp->tenant->vacate_until_us = loop_now_us(p->loop) + LEAVING_US;
		else
			empty(tp);
	}
}

void vacate_client_gone(struct tenant *t)
{
	if (t->home)
		t = t->home;
	if (loop_now_us(t->proxy->loop) >= t->vacate_until_us || has_clients(t))
		return;
	t->vacate_until_us = 0;
	for (size_t i = 0; i < TOPOLOGY_NODES_MAX; i++)
		if (t->pools[i])
			empty(t->pools[i]);
}

static void on_vacate_mail(struct mail *mail, void *receiver)
{
	struct vacate_mail *m = list_entry(mail, struct vacate_mail, mail);
	struct proxy *p = receiver;
	struct proxy_shared *shared = p->shared;

	vacate_here(p, m);
	if (!--m->hops) {
		mem_free(m);
		return;
	}
	m->mail.deliver = on_vacate_mail;
	mailbox_post(shared->proxies[(p->index + 1) % shared->worker_count]->mailbox, &m->mail);
}

static void vacate(struct client *c, const char *dbname)
{
	const char *cluster = c->tenant->cluster->name;
	size_t size = strlen(cluster) + strlen(dbname) + sizeof "/";
	struct vacate_mail *m = mem_zalloc(sizeof *m + size);

	m->hops = c->proxy->shared->worker_count;
	snprintf(m->scope, size, "%s/%s", cluster, dbname);
	on_vacate_mail(&m->mail, c->proxy);
}

void vacate_for(struct client *c, const struct plan *plan)
{
	for (uint32_t i = 0; i < plan->effect_count; i++) {
		const struct statement *s = plan->effects[i].statement;

		for (uint16_t at = 0; at < s->effect_count; at++)
			if (s->effects[at].kind == EFFECT_VACATE && s->effects[at].name)
				vacate(c, s->effects[at].name);
	}
}
