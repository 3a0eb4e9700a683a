/* SPDX-License-Identifier: PostgreSQL */
/*
 * Name look-up: a cache of entries by host name, a queue of those to look up,
 * and one thread that calls getaddrinfo. Equal questions asked meanwhile wait
 * on the same entry. The C library's resolver is used, not libevent's, whose
 * own DNS parser had memory errors. An entry keeps the addresses of its last
 * look-up that succeeded, so that a change of them is seen and a failure isn't
 * taken for one.
 *
 * The mutex guards map, queue and waiters. A query belongs to the thread that
 * asked; the helper only fills it before it is posted, and posts under the
 * mutex, so that cancelling either finds it waiting or already in the mailbox.
 */
#include "net/resolver.h"

#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"

enum { RESOLVER_ENTRIES_MAX = 1024, RESOLVER_PORT_MAX = 8 };

struct resolver_entry {
	struct map_node node;
	struct list_node queue_node; /* in resolver.queue while waiting for the thread */
	struct list waiters;         /* resolver_query.mail.node */
	bool is_pending;             /* queued or being looked up */
	enum weir_err err;
	uint64_t looked_up_us, expires_us;
	struct resolved resolved; /* ports are 0; of the last success, written by the thread alone */
	char host[RESOLVER_HOST_MAX + 1];
};

struct resolver_query {
	struct mail mail;             /* node: in waiters, then in the mailbox */
	struct resolver *resolver;    /* borrowed */
	struct resolver_entry *entry; /* not NULL: waits there; under the lock */
	struct mailbox *mailbox;      /* borrowed */
	uint16_t port;
	resolver_done_fn *on_done; /* NULL: cancelled */
	void *arg;
	enum weir_err err;
	struct resolved resolved;
};

struct resolver {
	pthread_mutex_t lock;
	pthread_cond_t has_work;
	pthread_t thread;
	bool is_stopping;
	uint64_t ttl_us, failed_ttl_us;
	_Atomic uint64_t changes;
	struct list queue;
	struct map entries;
};

/* --- addresses --- */

static void set_port(struct resolved *r, uint16_t port)
{
	for (unsigned i = 0; i < r->count; i++) {
		struct sockaddr_storage *addr = &r->at[i].addr;

		if (addr->ss_family == AF_INET)
			((struct sockaddr_in *)(void *)addr)->sin_port = htons(port);
		else if (addr->ss_family == AF_INET6)
			((struct sockaddr_in6 *)(void *)addr)->sin6_port = htons(port);
	}
}

static enum weir_err look_up(const char *host, int flags, struct resolved *r)
{
	struct addrinfo hints = { .ai_flags = flags, .ai_socktype = SOCK_STREAM };
	struct addrinfo *all = NULL;

	r->count = 0;
	if (getaddrinfo(host, NULL, &hints, &all) != 0)
		return WEIR_ERR_RESOLVE;
	for (const struct addrinfo *ai = all; ai && r->count < RESOLVED_MAX; ai = ai->ai_next) {
		memcpy(&r->at[r->count].addr, ai->ai_addr, ai->ai_addrlen);
		r->at[r->count++].len = ai->ai_addrlen;
	}
	freeaddrinfo(all);
	return r->count ? WEIR_OK : WEIR_ERR_RESOLVE;
}

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	const struct sockaddr_in *a4 = (const void *)a, *b4 = (const void *)b;
	const struct sockaddr_in6 *a6 = (const void *)a, *b6 = (const void *)b;

	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET)
		return a4->sin_addr.s_addr == b4->sin_addr.s_addr;
	return a->ss_family == AF_INET6 &&
	       memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof(a6->sin6_addr)) == 0;
}

static bool resolved_has(const struct resolved *r, const struct sockaddr_storage *addr)
{
	for (unsigned i = 0; i < r->count; i++)
		if (same_address(&r->at[i].addr, addr))
			return true;
	return false;
}

/* In whatever order. */
static bool same_addresses(const struct resolved *a, const struct resolved *b)
{
	for (unsigned i = 0; i < a->count; i++)
		if (!resolved_has(b, &a->at[i].addr))
			return false;
	return a->count == b->count;
}

static enum weir_err unix_address(const char *dir, uint16_t port, struct resolved *r)
{
	struct sockaddr_un *addr = (struct sockaddr_un *)(void *)&r->at[0].addr;
	int len;

	memset(addr, 0, sizeof(*addr));
	addr->sun_family = AF_UNIX;
	len = snprintf(addr->sun_path, sizeof(addr->sun_path), "%s/.s.PGSQL.%u", dir, port);
	if (len < 0 || (size_t)len >= sizeof(addr->sun_path))
		return WEIR_ERR_RESOLVE;
	if (dir[0] == '@')
		addr->sun_path[0] = '\0';
	r->at[0].len =
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len + (dir[0] == '/' ? 1 : 0));
	r->count = 1;
	return WEIR_OK;
}

/* --- entries, under the lock --- */

static bool entry_equal(const struct map_node *node, const void *key)
{
	return strcmp(map_entry(node, struct resolver_entry, node)->host, key) == 0;
}

static struct resolver_entry *entry_find_locked(struct resolver *r, const char *host)
{
	struct map_node *node = map_find(&r->entries, hash_bytes(host, strlen(host)), host);

	return node ? map_entry(node, struct resolver_entry, node) : NULL;
}

static bool entry_is_fresh(const struct resolver_entry *e)
{
	return !e->is_pending && e->expires_us > clock_monotonic_us();
}

/* Names come from the configuration, so the bound is never met in practice. */
static void drop_one_expired_locked(struct resolver *r)
{
	map_foreach(&r->entries, n) {
		struct resolver_entry *e = map_entry(n, struct resolver_entry, node);

		if (!e->is_pending && !entry_is_fresh(e)) {
			map_remove(&r->entries, n);
			mem_free(e);
			return;
		}
	}
}

static struct resolver_entry *entry_need_locked(struct resolver *r, const char *host)
{
	struct resolver_entry *e = entry_find_locked(r, host);

	if (e)
		return e;
	if (r->entries.count >= RESOLVER_ENTRIES_MAX)
		drop_one_expired_locked(r);
	e = mem_zalloc(sizeof(*e));
	list_init(&e->waiters);
	snprintf(e->host, sizeof(e->host), "%s", host);
	map_insert(&r->entries, &e->node, hash_bytes(e->host, strlen(e->host)));
	return e;
}

static void answer_locked(struct resolver_query *q, const struct resolver_entry *e)
{
	q->entry = NULL;
	q->err = e->err;
	q->resolved = e->resolved;
	if (e->err != WEIR_OK)
		q->resolved.count = 0;
	set_port(&q->resolved, q->port);
	mailbox_post(q->mailbox, &q->mail);
}

static void entry_done_locked(struct resolver *r, struct resolver_entry *e)
{
	struct list_node *n;
	uint64_t ttl_us = e->err == WEIR_OK ? r->ttl_us : r->failed_ttl_us;

	e->is_pending = false;
	e->looked_up_us = clock_monotonic_us();
	e->expires_us = e->looked_up_us + ttl_us;
	while ((n = list_pop(&e->waiters)))
		answer_locked(list_entry(n, struct resolver_query, mail.node), e);
}

static void enqueue_locked(struct resolver *r, struct resolver_entry *e)
{
	if (e->is_pending)
		return;
	e->is_pending = true;
	list_append(&r->queue, &e->queue_node);
	pthread_cond_signal(&r->has_work);
}

/* --- the helper thread --- */

/* A pending entry isn't freed, and only this thread writes its addresses. */
static bool look_up_entry(const struct resolver_entry *e, struct resolved *found,
                          enum weir_err *err)
{
	bool is_changed;

	*err = look_up(e->host, AI_ADDRCONFIG, found);
	is_changed = *err == WEIR_OK && e->resolved.count && !same_addresses(found, &e->resolved);
	if (*err != WEIR_OK)
		log_warn("name_not_found", "host=%s", e->host);
	if (is_changed)
		log_info("name_changed", "host=%s addresses=%u", e->host, found->count);
	return is_changed;
}

static void *resolver_main(void *arg)
{
	struct resolver *r = arg;

	pthread_mutex_lock(&r->lock);
	while (!r->is_stopping) {
		struct list_node *n = list_pop(&r->queue);
		struct resolver_entry *e;
		struct resolved found;
		enum weir_err err;
		bool is_changed;

		if (!n) {
			pthread_cond_wait(&r->has_work, &r->lock);
			continue;
		}
		e = list_entry(n, struct resolver_entry, queue_node);
		pthread_mutex_unlock(&r->lock);
		is_changed = look_up_entry(e, &found, &err);
		pthread_mutex_lock(&r->lock);
		e->err = err;
		if (err == WEIR_OK)
			e->resolved = found;
		atomic_fetch_add(&r->changes, is_changed);
		entry_done_locked(r, e);
	}
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

struct resolver *resolver_create(uint64_t ttl_us, uint64_t failed_ttl_us)
{
	struct resolver *r = mem_zalloc(sizeof(*r));

	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->has_work, NULL);
	r->ttl_us = ttl_us;
	r->failed_ttl_us = failed_ttl_us;
	list_init(&r->queue);
	map_init(&r->entries, entry_equal);
	if (pthread_create(&r->thread, NULL, resolver_main, r) == 0)
		return r;
	pthread_cond_destroy(&r->has_work);
	pthread_mutex_destroy(&r->lock);
	mem_free(r);
	return NULL;
}

static void entries_free(struct resolver *r)
{
	struct map_node *n;

	while ((n = map_next(&r->entries, NULL))) {
		struct resolver_entry *e = map_entry(n, struct resolver_entry, node);

		e->err = WEIR_ERR_RESOLVE;
		e->resolved.count = 0;
		entry_done_locked(r, e);
		map_remove(&r->entries, n);
		mem_free(e);
	}
	map_fini(&r->entries);
}

void resolver_destroy(struct resolver *resolver)
{
	if (!resolver)
		return;
	pthread_mutex_lock(&resolver->lock);
	resolver->is_stopping = true;
	pthread_cond_signal(&resolver->has_work);
	pthread_mutex_unlock(&resolver->lock);
	pthread_join(resolver->thread, NULL);
	while (list_pop(&resolver->queue))
		;
	entries_free(resolver);
	pthread_cond_destroy(&resolver->has_work);
	pthread_mutex_destroy(&resolver->lock);
	mem_free(resolver);
}

void resolver_set_ttl(struct resolver *resolver, uint64_t ttl_us, uint64_t failed_ttl_us)
{
	pthread_mutex_lock(&resolver->lock);
	resolver->ttl_us = ttl_us;
	resolver->failed_ttl_us = failed_ttl_us;
	pthread_mutex_unlock(&resolver->lock);
}

/* --- asking --- */

enum weir_err resolver_try(struct resolver *resolver, const char *host, uint16_t port,
                           struct resolved *resolved)
{
	const struct resolver_entry *e;
	enum weir_err err = WEIR_ERR_AGAIN;

	if (host[0] == '/' || host[0] == '@')
		return unix_address(host, port, resolved);
	if (strlen(host) > RESOLVER_HOST_MAX)
		return WEIR_ERR_RESOLVE;
	if (look_up(host, AI_NUMERICHOST, resolved) == WEIR_OK) {
		set_port(resolved, port);
		return WEIR_OK;
	}
	if (!resolver)
		return WEIR_ERR_RESOLVE;
	pthread_mutex_lock(&resolver->lock);
	e = entry_find_locked(resolver, host);
	if (e && entry_is_fresh(e)) {
		*resolved = e->resolved;
		err = e->err;
		if (err != WEIR_OK)
			resolved->count = 0;
	}
	pthread_mutex_unlock(&resolver->lock);
	set_port(resolved, port);
	return err;
}

static void deliver_answer(struct mail *mail, void *receiver)
{
	struct resolver_query *q = (struct resolver_query *)(void *)mail;

	(void)receiver;
	if (q->on_done)
		q->on_done(q->arg, q->err, &q->resolved);
	mem_free(q);
}

static void ask_locked(struct resolver *r, struct resolver_query *q, const char *host)
{
	struct resolver_entry *e = entry_need_locked(r, host);

	if (entry_is_fresh(e)) {
		answer_locked(q, e);
		return;
	}
	q->entry = e;
	list_append(&e->waiters, &q->mail.node);
	enqueue_locked(r, e);
}

struct resolver_query *resolver_ask(struct resolver *resolver, struct mailbox *mailbox,
                                    const char *host, uint16_t port, resolver_done_fn *on_done,
                                    void *arg)
{
	struct resolver_query *q = mem_zalloc(sizeof(*q));
	enum weir_err err = resolver_try(resolver, host, port, &q->resolved);

	q->mail.deliver = deliver_answer;
	q->resolver = resolver;
	q->mailbox = mailbox;
	q->port = port;
	q->on_done = on_done;
	q->arg = arg;
	if (err != WEIR_ERR_AGAIN) {
		q->err = err;
		mailbox_post(mailbox, &q->mail);
		return q;
	}
	pthread_mutex_lock(&resolver->lock);
	ask_locked(resolver, q, host);
	pthread_mutex_unlock(&resolver->lock);
	return q;
}

void resolver_cancel(struct resolver_query *query)
{
	struct resolver *r = query->resolver;
	bool is_waiting;

	pthread_mutex_lock(&r->lock);
	is_waiting = query->entry != NULL;
	if (is_waiting)
		list_remove(&query->entry->waiters, &query->mail.node);
	pthread_mutex_unlock(&r->lock);
	query->on_done = NULL;
	if (is_waiting)
		mem_free(query);
}

/* --- what is known --- */

uint64_t resolver_changes(const struct resolver *resolver)
{
	return atomic_load_explicit(&resolver->changes, memory_order_relaxed);
}

bool resolver_has(struct resolver *resolver, const char *host,
                  const struct sockaddr_storage *addr)
{
	const struct resolver_entry *e;
	bool has;

	pthread_mutex_lock(&resolver->lock);
	e = entry_find_locked(resolver, host);
	has = !e || !e->resolved.count || resolved_has(&e->resolved, addr);
	pthread_mutex_unlock(&resolver->lock);
	return has;
}

void resolver_refresh(struct resolver *resolver, const char *host, uint64_t age_us)
{
	struct resolver_entry *e;

	pthread_mutex_lock(&resolver->lock);
	e = entry_find_locked(resolver, host);
	if (e && clock_monotonic_us() - e->looked_up_us >= age_us)
		enqueue_locked(resolver, e);
	pthread_mutex_unlock(&resolver->lock);
}

static void host_fill(struct resolver_host *host, const struct resolver_entry *e)
{
	uint64_t now_us = clock_monotonic_us();

	memcpy(host->name, e->host, sizeof(host->name));
	host->is_pending = e->is_pending;
	host->ttl_us = e->expires_us > now_us ? e->expires_us - now_us : 0;
	host->resolved = e->resolved;
}

/* Room first: nothing is allocated under the lock. */
struct resolver_host *resolver_hosts(struct resolver *resolver, size_t *count)
{
	const size_t room = RESOLVER_ENTRIES_MAX;
	struct resolver_host *hosts = mem_alloc(room * sizeof(*hosts));
	size_t n = 0;

	pthread_mutex_lock(&resolver->lock);
	map_foreach(&resolver->entries, node)
		if (n < room)
			host_fill(&hosts[n++], map_entry(node, struct resolver_entry, node));
	pthread_mutex_unlock(&resolver->lock);
	*count = n;
	return hosts;
}
