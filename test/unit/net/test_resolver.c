/* SPDX-License-Identifier: PostgreSQL */
/*
 * Name look-up: numbers and Unix paths at once, names by the helper thread and
 * then from the cache, failures, cancelling, names that get other addresses.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/loop_priv.h"
#include "net/resolver.h"
#include "peer.h"

enum { TTL_US = 60 * 1000000, WAIT_TURNS = 20000 };

#define MOVING "moving.test"
static const char *moving_to; /* the address behind that name; NULL: no such name */

/* Before the C library's, which it calls. */
int getaddrinfo(const char *restrict node, const char *restrict service,
                const struct addrinfo *restrict hints, struct addrinfo **restrict res)
{
	static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	if (!node || strcmp(node, MOVING) != 0 || hints->ai_flags & AI_NUMERICHOST)
		return real(node, service, hints, res);
	return moving_to ? real(moving_to, service, hints, res) : EAI_NONAME;
}

struct answer {
	int count;
	enum weir_err err;
	struct resolved resolved;
};

static void on_done(void *arg, enum weir_err err, const struct resolved *resolved)
{
	struct answer *a = arg;

	a->count++;
	a->err = err;
	a->resolved = *resolved;
}

static void wait_for(struct loop *loop, const struct answer *a, int count)
{
	for (int i = 0; i < WAIT_TURNS && a->count < count; i++) {
		peer_turns(loop, 1);
		usleep(1000);
	}
	cr_assert_eq(a->count, count);
}

Test(resolver, numbers_need_no_thread)
{
	struct resolved r;
	const struct sockaddr_in *v4 = (const void *)&r.at[0].addr;
	const struct sockaddr_in6 *v6 = (const void *)&r.at[0].addr;

	cr_assert_eq(resolver_try(NULL, "10.1.2.3", 5432, &r), WEIR_OK);
	cr_assert_eq(r.count, 1);
	cr_assert_eq(v4->sin_family, AF_INET);
	cr_assert_eq(v4->sin_port, htons(5432));
	cr_assert_eq(v4->sin_addr.s_addr, inet_addr("10.1.2.3"));
	cr_assert_eq(resolver_try(NULL, "::1", 5433, &r), WEIR_OK);
	cr_assert_eq(v6->sin6_family, AF_INET6);
	cr_assert_eq(v6->sin6_port, htons(5433));
	cr_assert_eq(resolver_try(NULL, "db.example", 1, &r), WEIR_ERR_RESOLVE);
}

Test(resolver, unix_directories)
{
	struct resolved r;
	const struct sockaddr_un *un = (const void *)&r.at[0].addr;

	cr_assert_eq(resolver_try(NULL, "/run/postgresql", 5432, &r), WEIR_OK);
	cr_assert_str_eq(un->sun_path, "/run/postgresql/.s.PGSQL.5432");
	cr_assert_eq(resolver_try(NULL, "@db", 5432, &r), WEIR_OK);
	cr_assert_eq(un->sun_path[0], '\0');
	cr_assert_str_eq(un->sun_path + 1, "db/.s.PGSQL.5432");
	cr_assert_eq(r.at[0].len, offsetof(struct sockaddr_un, sun_path) + strlen("@db/.s.PGSQL.5432"));
}

Test(resolver, name_is_looked_up_once_and_cached, .timeout = 60)
{
	struct loop *loop = peer_loop();
	struct mailbox *mailbox = mailbox_create(loop, NULL);
	struct resolver *resolver = resolver_create(TTL_US, TTL_US);
	struct answer a = { 0 };
	struct resolved r;

	cr_assert_eq(resolver_try(resolver, "localhost", 5432, &r), WEIR_ERR_AGAIN);
	resolver_ask(resolver, mailbox, "localhost", 5432, on_done, &a);
	resolver_ask(resolver, mailbox, "localhost", 5432, on_done, &a);
	cr_assert_eq(a.count, 0);
	wait_for(loop, &a, 2);
	cr_assert_eq(a.err, WEIR_OK);
	cr_assert(a.resolved.count >= 1);
	cr_assert_eq(resolver_try(resolver, "localhost", 77, &r), WEIR_OK);
	cr_assert_eq(r.count, a.resolved.count);
	mailbox_destroy(mailbox);
	resolver_destroy(resolver);
	loop_destroy(loop);
}

Test(resolver, failure_is_told_and_cached, .timeout = 60)
{
	struct loop *loop = peer_loop();
	struct mailbox *mailbox = mailbox_create(loop, NULL);
	struct resolver *resolver = resolver_create(TTL_US, TTL_US);
	struct answer a = { 0 };
	struct resolved r;

	resolver_ask(resolver, mailbox, "no_such_host.invalid", 1, on_done, &a);
	wait_for(loop, &a, 1);
	cr_assert_eq(a.err, WEIR_ERR_RESOLVE);
	cr_assert_eq(resolver_try(resolver, "no_such_host.invalid", 1, &r), WEIR_ERR_RESOLVE);
	mailbox_destroy(mailbox);
	resolver_destroy(resolver);
	loop_destroy(loop);
}

Test(resolver, cancelled_query_never_answers, .timeout = 60)
{
	struct loop *loop = peer_loop();
	struct mailbox *mailbox = mailbox_create(loop, NULL);
	struct resolver *resolver = resolver_create(TTL_US, TTL_US);
	struct answer first = { 0 }, second = { 0 };

	resolver_cancel(resolver_ask(resolver, mailbox, "localhost", 1, on_done, &first));
	resolver_cancel(resolver_ask(resolver, mailbox, "127.0.0.1", 1, on_done, &first));
	resolver_ask(resolver, mailbox, "localhost", 1, on_done, &second);
	wait_for(loop, &second, 1);
	cr_assert_eq(first.count, 0);
	mailbox_destroy(mailbox);
	resolver_destroy(resolver);
	loop_destroy(loop);
}

Test(resolver, destroying_answers_who_waits, .timeout = 60)
{
	struct loop *loop = peer_loop();
	struct mailbox *mailbox = mailbox_create(loop, NULL);
	struct resolver *resolver = resolver_create(TTL_US, TTL_US);
	struct answer a = { 0 };

	resolver_ask(resolver, mailbox, "localhost", 1, on_done, &a);
	resolver_destroy(resolver);
	mailbox_destroy(mailbox);
	cr_assert_eq(a.count, 1);
	loop_destroy(loop);
}

struct moving { /* what a look-up needs */
	struct loop *loop;
	struct mailbox *mailbox;
	struct resolver *resolver;
};

static struct moving moving_open(uint64_t ttl_us)
{
	struct moving m = { .loop = peer_loop() };

	m.mailbox = mailbox_create(m.loop, NULL);
	m.resolver = resolver_create(ttl_us, ttl_us);
	return m;
}

static void moving_close(struct moving *m)
{
	mailbox_destroy(m->mailbox);
	resolver_destroy(m->resolver);
	loop_destroy(m->loop);
}

static enum weir_err look_up(struct moving *m, const char *address)
{
	struct answer a = { 0 };

	moving_to = address;
	resolver_ask(m->resolver, m->mailbox, MOVING, 1, on_done, &a);
	wait_for(m->loop, &a, 1);
	cr_assert_eq(a.resolved.count > 0, a.err == WEIR_OK);
	return a.err;
}

static bool has(struct moving *m, const char *address)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(5432) };
	struct sockaddr_storage addr = { 0 };

	inet_pton(AF_INET, address, &in.sin_addr);
	memcpy(&addr, &in, sizeof(in));
	return resolver_has(m->resolver, MOVING, &addr);
}

Test(resolver, other_addresses_are_a_change_and_a_failure_is_none, .timeout = 60)
{
	struct moving m = moving_open(0);

	cr_expect(has(&m, "127.0.0.1"), "what was never looked up has every address");
	cr_expect_eq(look_up(&m, "127.0.0.1"), WEIR_OK);
	cr_expect_eq(look_up(&m, "127.0.0.1"), WEIR_OK);
	cr_expect_eq(look_up(&m, NULL), WEIR_ERR_RESOLVE);
	cr_expect_eq(resolver_changes(m.resolver), 0);
	cr_expect(has(&m, "127.0.0.1"));
	cr_expect_not(has(&m, "127.0.0.2"));
	cr_expect_eq(look_up(&m, "127.0.0.2"), WEIR_OK);
	cr_expect_eq(resolver_changes(m.resolver), 1);
	cr_expect_not(has(&m, "127.0.0.1"));
	cr_expect(has(&m, "127.0.0.2"));
	moving_close(&m);
}

Test(resolver, a_refresh_comes_after_its_time_only, .timeout = 60)
{
	struct moving m = moving_open(TTL_US);

	resolver_refresh(m.resolver, MOVING, 0); /* nobody asked for it: stays unknown */
	cr_expect_eq(look_up(&m, "127.0.0.1"), WEIR_OK);
	moving_to = "127.0.0.2";
	resolver_refresh(m.resolver, MOVING, TTL_US);
	cr_expect_eq(look_up(&m, "127.0.0.2"), WEIR_OK);
	cr_expect(has(&m, "127.0.0.1"), "still the cached one");
	resolver_refresh(m.resolver, MOVING, 0);
	for (int i = 0; i < WAIT_TURNS && resolver_changes(m.resolver) == 0; i++)
		usleep(1000);
	cr_expect_eq(resolver_changes(m.resolver), 1);
	cr_expect(has(&m, "127.0.0.2"));
	moving_close(&m);
}

Test(resolver, hosts_are_listed, .timeout = 60)
{
	struct moving m = moving_open(TTL_US);
	struct resolver_host *hosts;
	size_t count;

	cr_expect_eq(look_up(&m, "127.0.0.3"), WEIR_OK);
	hosts = resolver_hosts(m.resolver, &count);
	cr_assert_eq(count, 1);
	cr_expect_str_eq(hosts[0].name, MOVING);
	cr_expect_eq(hosts[0].resolved.count, 1);
	cr_expect_not(hosts[0].is_pending);
	cr_expect(hosts[0].ttl_us > 0 && hosts[0].ttl_us <= TTL_US);
	mem_free(hosts);
	moving_close(&m);
}

/* A lower time to live, as a reload may bring it, holds for the next look-up. */
Test(resolver, failures_have_a_time_of_their_own, .timeout = 60)
{
	struct moving m = moving_open(0);

	resolver_set_ttl(m.resolver, 0, TTL_US);
	cr_expect_eq(look_up(&m, NULL), WEIR_ERR_RESOLVE);
	cr_expect_eq(look_up(&m, "127.0.0.1"), WEIR_ERR_RESOLVE, "the failure is remembered");
	moving_close(&m);
	m = moving_open(TTL_US);
	resolver_set_ttl(m.resolver, TTL_US, 0);
	cr_expect_eq(look_up(&m, NULL), WEIR_ERR_RESOLVE);
	cr_expect_eq(look_up(&m, "127.0.0.1"), WEIR_OK, "it isn't");
	moving_close(&m);
}
