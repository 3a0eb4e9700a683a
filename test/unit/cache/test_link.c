/* SPDX-License-Identifier: PostgreSQL */
/* Links against servers that only look like Redis: hostile answers are misses and reconnects. */
#include "cache/link.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/hash.h"
#include "net/resolver.h"
#include "peer.h"
#include "redis_server.h"

/* Greets like Redis, then answers the first command on each connection with `answer`. */
struct impostor {
	pthread_t thread;
	int listen_fd;
	uint16_t port;
	struct slice answer;
	bool hangs_up;    /* after the answer */
	bool is_impolite; /* doesn't wait for a command */
};

static void greet(int fd, const char *request)
{
	static const char subscribed[] = "$0\r\n\r\n*3\r\n$9\r\nsubscribe\r\n$6\r\ntest:i\r\n:1\r\n";
	static const char info[] = "$0\r\n\r\n$0\r\n\r\n";

	if (strstr(request, "SUBSCRIBE"))
		cr_assert_gt(write(fd, subscribed, sizeof subscribed - 1), 0);
	else
		cr_assert_gt(write(fd, info, sizeof info - 1), 0);
}

struct caller {
	struct impostor *impostor;
	int fd;
};

static void *serve_one(void *arg)
{
	struct caller c = *(struct caller *)arg;
	char bytes[4096];
	ssize_t n = read(c.fd, bytes, sizeof bytes - 1);

	free(arg);
	if (n > 0) {
		bytes[n] = '\0';
		greet(c.fd, bytes);
		if (!c.impostor->is_impolite)
			n = read(c.fd, bytes, sizeof bytes);
		if (write(c.fd, c.impostor->answer.ptr, c.impostor->answer.len) > 0 &&
		    !c.impostor->hangs_up)
			while (read(c.fd, bytes, sizeof bytes) > 0)
				;
	}
	close(c.fd);
	return NULL;
}

static void *serve(void *arg)
{
	struct impostor *i = arg;
	int fd;

	while ((fd = accept(i->listen_fd, NULL, NULL)) >= 0) {
		struct caller *c = malloc(sizeof *c);
		pthread_t t;

		*c = (struct caller){ i, fd };
		pthread_create(&t, NULL, serve_one, c);
		pthread_detach(t);
	}
	return NULL;
}

static void impostor_start(struct impostor *i)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof a;

	signal(SIGPIPE, SIG_IGN);
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	i->listen_fd = socket(AF_INET, SOCK_STREAM, 0);
	cr_assert_eq(bind(i->listen_fd, (struct sockaddr *)&a, len), 0);
	cr_assert_eq(listen(i->listen_fd, 16), 0);
	cr_assert_eq(getsockname(i->listen_fd, (struct sockaddr *)&a, &len), 0);
	i->port = ntohs(a.sin_port);
	pthread_create(&i->thread, NULL, serve, i);
}

static void impostor_stop(struct impostor *i)
{
	shutdown(i->listen_fd, SHUT_RDWR);
	pthread_join(i->thread, NULL);
	close(i->listen_fd);
}

static void short_timeout(struct cache_options *o)
{
	o->redis.timeout_ms = 20;
}

static bool has_opened(void *arg)
{
	struct peer *p = arg;

	if (!p->lookup.pending)
		peer_start(p, 1, 10, 0); /* keeps asking */
	return peer_stats(p).breaker_opens >= 2;
}

static void expect_breaker_opens(struct impostor *i, const char *what)
{
	struct loop *loop = loop_create(&(struct loop_options){ .tick_ms = 1 });
	struct peer p;

	hash_seed_init();
	impostor_start(i);
	peer_open(&p, loop, i->port, short_timeout);
	run_until(loop, has_opened, &p);
	cr_expect_str_neq(p.result, "hit-redis", "%s", what);
	cr_expect_str_neq(p.result, "hit", "%s", what);
	peer_close(&p);
	loop_destroy(loop);
	impostor_stop(i);
}

Test(link, answers_that_end_it, .timeout = 60)
{
	static const char *const answers[] = {
		"*1000000000\r\n",
		"$-7\r\n",
		"*3\r\n*3\r\n*99\r\n",
		"HTTP/1.1 200 OK\r\n\r\n",
		":1\r\n:2\r\n:3\r\n:4\r\n:5\r\n:6\r\n:7\r\n", /* more than was asked for */
		"$400000\r\n",                                /* and then silence */
	};

	for (size_t n = 0; n < WEIR_COUNTOF(answers); n++) {
		struct impostor i = { .answer = slice_str(answers[n]) };

		expect_breaker_opens(&i, answers[n]);
	}
}

Test(link, replies_that_nobody_asked_for, .timeout = 60)
{
	struct impostor i = { .answer = slice_str("+OK\r\n"), .is_impolite = true };

	expect_breaker_opens(&i, "unasked");
}

Test(link, hang_up_within_a_reply, .timeout = 60)
{
	struct impostor i = { .answer = slice_str("*4\r\n$16\r\n0123"), .hangs_up = true };

	expect_breaker_opens(&i, "hang-up");
}

/* Right in form, wrong in kind: misses, the link stays. */
Test(link, replies_of_the_wrong_kind, .timeout = 60)
{
	static const char *const answers[] = {
		":1\r\n:2\r\n:3\r\n",
		"+OK\r\n+OK\r\n+OK\r\n",
		"-ERR a\r\n-ERR b\r\n-ERR c\r\n",
		"*0\r\n*0\r\n*0\r\n",
		"*4\r\n:1\r\n:2\r\n:3\r\n*1\r\n:9\r\n$1\r\nx\r\n$-1\r\n",
	};

	for (size_t n = 0; n < WEIR_COUNTOF(answers); n++) {
		struct impostor i = { .answer = slice_str(answers[n]) };
		struct loop *loop = loop_create(&(struct loop_options){ .tick_ms = 1 });
		struct peer p;

		hash_seed_init();
		impostor_start(&i);
		peer_open(&p, loop, i.port, NULL);
		while (peer_start(&p, 1, 10, 0) != CACHE_PENDING)
			run_for_ms(loop, 5);
		run_for_ms(loop, 50);
		cr_assert(p.is_done, "answer %zu", n);
		cr_assert_str_eq(p.result, "miss");
		cr_assert_eq(p.fill.shared_sum, 0);
		cr_assert_eq(peer_stats(&p).breaker_opens, 0);
		peer_close(&p);
		loop_destroy(loop);
		impostor_stop(&i);
	}
}

static struct resolver *resolver;

static void by_name(struct cache_options *o)
{
	o->redis.seeds[0].host = "localhost";
	o->resolver = resolver;
}

static void by_wrong_name(struct cache_options *o)
{
	o->redis.seeds[0].host = "no-such-host.invalid";
	o->resolver = resolver;
}

Test(link, finds_its_server_by_name)
{
	struct redis_server server;
	struct loop *loop = loop_create(&(struct loop_options){ .tick_ms = 1 });
	struct peer p;

	redis_server_start(&server, "bind 127.0.0.1 -::1");
	hash_seed_init();
	resolver = resolver_create(1000000, 1000000);
	peer_open(&p, loop, server.port, by_name);
	peer_until_connected(&p);
	peer_close(&p);
	resolver_destroy(resolver);
	loop_destroy(loop);
	redis_server_stop(&server);
}

Test(link, a_name_without_address_is_a_server_that_is_away)
{
	struct loop *loop = loop_create(&(struct loop_options){ .tick_ms = 1 });
	struct peer p;

	hash_seed_init();
	resolver = resolver_create(1000000, 1000000);
	peer_open(&p, loop, 6379, by_wrong_name);
	cr_assert_str_eq(peer_ask(&p, 1, 10), "miss");
	run_for_ms(loop, 300);
	cr_assert(peer_stats(&p).breaker_open);
	cr_assert_str_eq(peer_ask(&p, 1, 10), "miss");
	peer_close(&p);
	loop_destroy(loop);
	resolver_destroy(resolver);
}
