/* SPDX-License-Identifier: PostgreSQL */
/*
 * The Patroni watcher, see patroni.h. A round asks member after member until
 * one gives a document; which member to believe is no question, since all of
 * them read the same store, and view.c believes no leader unprobed.
 */
#include "tier/patroni.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "net/http_client.h"
#include "net/tls.h"
#include "tier/patroni_doc.h"

enum { PATRONI_MAGIC = 0x70617472, URLS_MAX = 2 * TOPOLOGY_NODES_MAX };

struct patroni {
	unsigned magic;
	struct pg_session_net net;
	const struct patroni_ops *ops; /* borrowed: static */
	void *arg;
	struct http_get *get;          /* owned: under way */
	struct tls_context *tls;       /* counted; NULL: no https */
	unsigned timeout_ms;
	size_t configured;             /* the first urls */
	size_t count;
	size_t at;                     /* asked now, or next */
	size_t tried;                  /* in this round */
	char urls[URLS_MAX][PATRONI_URL_MAX];
	struct patroni_doc doc;        /* the last one */
};

struct patroni *patroni_create(const struct pg_session_net *net, const struct patroni_ops *ops,
			       void *arg)
{
	struct patroni *p = mem_zalloc(sizeof *p);

	p->magic = PATRONI_MAGIC;
	p->net = *net;
	p->ops = ops;
	p->arg = arg;
	return p;
}

static void drop_get(struct patroni *p)
{
	if (p->get)
		http_get_cancel(p->get);
	p->get = NULL;
}

void patroni_destroy(struct patroni *p)
{
	if (p == NULL)
		return;
	WEIR_CHECK_MAGIC(p, PATRONI_MAGIC);
	drop_get(p);
	tls_context_put(&p->tls);
	p->magic = 0;
	mem_free(p);
}

/* With /cluster behind it unless a path is given. */
static void add_url(struct patroni *p, const char *url)
{
	const char *host = strstr(url, "://");
	const char *path = strchr(host ? host + 3 : url, '/');
	size_t len = path && path[1] == '\0' ? (size_t)(path - url) : strlen(url);
	bool has_path = path && path[1] != '\0';

	if (p->count == URLS_MAX)
		return;
	snprintf(p->urls[p->count], PATRONI_URL_MAX, "%s%.*s%s", host ? "" : "http://", (int)len, url,
		 has_path ? "" : "/cluster");
	for (size_t i = 0; i < p->count; i++)
		if (strcmp(p->urls[i], p->urls[p->count]) == 0)
			return;
	p->count++;
}

void patroni_configure(struct patroni *p, const char *const *urls, size_t count,
		       unsigned timeout_ms, struct tls_context *tls)
{
	drop_get(p);
	tls_context_put(&p->tls);
	p->tls = tls ? tls_context_get(tls) : NULL;
	p->timeout_ms = timeout_ms;
	p->count = 0;
	p->at = 0;
	for (size_t i = 0; i < count; i++)
		add_url(p, urls[i]);
	p->configured = p->count;
}

static void learn_urls(struct patroni *p)
{
	char answered[PATRONI_URL_MAX];

	memcpy(answered, p->urls[p->at], sizeof answered);
	p->count = p->configured;
	for (uint16_t i = 0; i < p->doc.cluster.count; i++)
		if (p->doc.urls[i][0])
			add_url(p, p->doc.urls[i]);
	if (p->at >= p->configured)
		add_url(p, answered);
	for (p->at = 0; p->at < p->count; p->at++)
		if (strcmp(p->urls[p->at], answered) == 0)
			return;
	p->at = 0;
}

static void ask_next(struct patroni *p);

static void on_answer(void *arg, enum weir_err err, int status, struct slice body)
{
	struct patroni *p = arg;

	WEIR_CHECK_MAGIC(p, PATRONI_MAGIC);
	p->get = NULL;
	if (err == WEIR_OK && status == 200 && patroni_doc_parse(body, &p->doc) == WEIR_OK) {
		learn_urls(p);
		p->ops->on_cluster(p->arg, &p->doc.cluster);
		return;
	}
	p->at = (p->at + 1) % p->count;
	ask_next(p);
}

/* The next member that can be asked at all; none left: the round has failed. */
static void ask_next(struct patroni *p)
{
	struct http_get_options options = {
		.timeout_ms = p->timeout_ms,
		.max_body_bytes = PATRONI_BODY_MAX,
		.resolver = p->net.resolver,
		.mailbox = p->net.mailbox,
		.tls = p->tls,
		.on_done = on_answer,
		.arg = p,
	};

	for (; p->tried < p->count; p->at = (p->at + 1) % p->count) {
		p->tried++;
		options.url = p->urls[p->at];
		if (http_get_start(p->net.loop, &options, &p->get) == WEIR_OK)
			return;
		p->get = NULL;
	}
	p->ops->on_unreachable(p->arg);
}

void patroni_ask(struct patroni *p)
{
	WEIR_CHECK_MAGIC(p, PATRONI_MAGIC);
	if (p->get || p->count == 0)
		return;
	p->tried = 0;
	ask_next(p);
}
