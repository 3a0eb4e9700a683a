/* SPDX-License-Identifier: PostgreSQL */
/*
 * crowd: thousands of clients in one process, logged in and held, so that what
 * each costs a pooler can be read from outside; and a closed loop of queries
 * over as many of them as wanted.
 *
 *   crowd PORT COUNT BATCH plain|tls USER DATABASE        (on 127.0.0.1, PGPASSWORD)
 *
 * Logs in COUNT clients, BATCH of them at a time, and says "ready". Then takes
 * orders from standard input, answers each by one line, and ends with it:
 *
 *   ask                    one query by each client: "asked"
 *   load CLIENTS SECONDS   the first CLIENTS ask again and again, a second before it counts: one
 *                          line of JSON
 *
 * One thread; plain clients only in load.
 */
#include "crowd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "wire/build.h"

enum { EVENTS_MAX = 1024, ANSWER_MAX = 8192, US_PER_SECOND = 1000000, WARM_US = 1000000 };

static const char query[] = "SELECT abalance FROM pgbench_accounts WHERE aid = 1";
static const char ready[] = "Z\0\0\0\5I"; /* how every answer ends */

void die(const char *what)
{
	fprintf(stderr, "crowd: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
	exit(1);
}

static struct slice request(void)
{
	static struct buf b;

	if (!b.len) {
		buf_init(&b, ANSWER_MAX);
		build_query(&b, slice_str(query));
	}
	return buf_slice(&b);
}

static bool is_whole(const char *answer, size_t len)
{
	return len >= sizeof ready - 1 &&
	       memcmp(answer + len - (sizeof ready - 1), ready, sizeof ready - 1) == 0;
}

/* --- one query each --- */

static void ask_all(struct crowd *crowd)
{
	for (size_t i = 0; i < crowd->count; i++) {
		char answer[ANSWER_MAX];
		size_t len = 0;

		member_send(&crowd->members[i], request());
		while (!is_whole(answer, len)) {
			if (len == sizeof answer)
				die("an answer is longer than expected");
			len += member_receive(&crowd->members[i], answer + len,
					      sizeof answer - len);
		}
	}
	printf("asked\n");
}

/* --- the closed loop --- */

struct samples {
	uint32_t *us; /* owned: latencies */
	size_t count, cap;
	size_t answered; /* those before and behind the time that counts too */
};

static void sample_add(struct samples *s, uint64_t us)
{
	if (s->count == s->cap) {
		s->cap = s->cap ? 2 * s->cap : EVENTS_MAX;
		s->us = mem_realloc(s->us, s->cap * sizeof *s->us);
	}
	s->us[s->count++] = (uint32_t)us;
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void ask(struct member *m)
{
	m->asked_us = clock_monotonic_us();
	member_send(m, request());
}

/* An answer comes in one piece, or the next event brings its end. */
static bool is_answered(struct member *m)
{
	char answer[ANSWER_MAX];

	return is_whole(answer, member_receive(m, answer, sizeof answer));
}

static void report(const struct crowd *crowd, size_t clients, struct samples *s, double seconds)
{
	uint32_t least = UINT32_MAX, most = 0;

	for (size_t i = 0; i < clients; i++) {
		uint32_t answers = crowd->members[i].answers;

		least = answers < least ? answers : least;
		most = answers > most ? answers : most;
	}
	if (!s->count)
		die("no query was answered");
	qsort(s->us, s->count, sizeof *s->us, by_size);
	printf("{\"tps\": %.0f, \"p50_us\": %u, \"p99_us\": %u, \"most_us\": %u, \"fewest\": %u, "
	       "\"most\": %u, \"transactions\": %zu, \"answered\": %zu}\n",
	       (double)s->count / seconds, s->us[s->count / 2], s->us[s->count * 99 / 100],
	       s->us[s->count - 1], least, most, s->count, s->answered);
}

static void watch(struct crowd *crowd, int epoll_fd, size_t clients)
{
	for (size_t i = 0; i < clients; i++) {
		struct epoll_event e = { .events = EPOLLIN, .data.ptr = &crowd->members[i] };

		if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, crowd->members[i].fd, &e) < 0)
			die("epoll_ctl");
		crowd->members[i].answers = 0;
	}
}

/* Everyone's last answer is taken, so that the next order finds them idle. */
static void load(struct crowd *crowd, size_t clients, double seconds)
{
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	uint64_t begin_us, end_us;
	struct samples s = { 0 };
	size_t asking = clients;

	watch(crowd, epoll_fd, clients);
	begin_us = clock_monotonic_us() + WARM_US;
	end_us = begin_us + (uint64_t)(seconds * US_PER_SECOND);
	for (size_t i = 0; i < clients; i++)
		ask(&crowd->members[i]);
	while (asking > 0) {
		struct epoll_event events[EVENTS_MAX];
		int n = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);
		uint64_t now_us = clock_monotonic_us();

		for (int i = 0; i < n; i++) {
			struct member *m = events[i].data.ptr;

			if (!is_answered(m))
				continue;
			s.answered++;
			if (now_us >= begin_us && now_us < end_us) {
				sample_add(&s, now_us - m->asked_us);
				m->answers++;
			}
			if (now_us < end_us)
				ask(m);
			else
				asking--;
		}
	}
	close(epoll_fd);
	report(crowd, clients, &s, seconds);
	mem_free(s.us);
}

/* --- orders --- */

static void obey(struct crowd *crowd)
{
	char line[128];

	while (fgets(line, sizeof line, stdin)) {
		size_t clients;
		double seconds;

		if (strcmp(line, "ask\n") == 0)
			ask_all(crowd);
		else if (sscanf(line, "load %zu %lf", &clients, &seconds) == 2 && clients > 0 &&
			 clients <= crowd->count && !crowd->tls)
			load(crowd, clients, seconds);
		else
			die("an order that isn't known");
		fflush(stdout);
	}
}

static void open_files_as_many_as_may_be(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int main(int argc, char **argv)
{
	struct crowd crowd = { 0 };
	size_t batch;

	errno = 0;
	if (argc != 7)
		die("PORT COUNT BATCH plain|tls USER DATABASE");
	crowd.port = (uint16_t)atoi(argv[1]);
	crowd.count = strtoul(argv[2], NULL, 10);
	batch = strtoul(argv[3], NULL, 10);
	crowd.user = argv[5];
	crowd.database = argv[6];
	crowd.password = getenv("PGPASSWORD") ? getenv("PGPASSWORD") : "";
	crowd.members = mem_zalloc(crowd.count * sizeof *crowd.members);
	if (strcmp(argv[4], "tls") == 0)
		crowd.tls = SSL_CTX_new(TLS_client_method());
	if (!crowd.port || !crowd.count || !batch)
		die("a number is missing");
	open_files_as_many_as_may_be();
	for (size_t at = 0; at < crowd.count; at += batch)
		crowd_login(&crowd, at, at + batch < crowd.count ? at + batch : crowd.count);
	printf("ready\n");
	fflush(stdout);
	obey(&crowd);
	return 0;
}
