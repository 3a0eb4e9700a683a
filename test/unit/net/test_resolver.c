/* SPDX-License-Identifier: PostgreSQL */
/*
 * Name look-up: numbers and Unix paths at once, names by the helper thread and
 * then from the cache, failures, cancelling.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/loop_priv.h"
#include "net/resolver.h"
#include "peer.h"

enum { TTL_US = 60 * 1000000, WAIT_TURNS = 5000 };

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
