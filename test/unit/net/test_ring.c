/* SPDX-License-Identifier: PostgreSQL */
/*
 * What only a ring can do wrong: completions that come late, bytes that are
 * under way while a connection closes, pauses, moves or starts TLS, buffers
 * that run out, sends that fall short, memory that is reset too early.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "net/loop_priv.h"
#include "net/ring_priv.h"
#include "net/tls.h"
#include "peer.h"
#include "tls_files.h"

enum { BIG = 600 * 1000, ROUND_TRIPS = 500, ECHO_MAX = 40000 };

static char big[BIG];

static void fill_big(void)
{
	for (size_t i = 0; i < BIG; i++)
		big[i] = (char)(i % 249);
}

/* Reads until `size` bytes have come, with turns in between. */
static size_t hear(struct peer *p, char *out, size_t size)
{
	size_t total = 0;

	for (int idle = 0; idle < 50 && total < size;) {
		ssize_t n = read(p->raw, out + total, size - total);

		if (n > 0)
			total += (size_t)n;
		else
			idle++;
		peer_turns(p->loop, 1);
	}
	return total;
}

static void stop_loop(struct peer *peer)
{
	loop_stop(peer->loop);
}

static bool is_under_way(const struct peer *p)
{
	return ring_is_receiving(p->loop->ring, &p->conn.read_watch.wait);
}

Test(ring, completion_after_close_reaches_nobody)
{
	struct loop *loop = peer_loop();
	struct peer p, q;

	peer_open(&p, loop);
	peer_turns(loop, 1);
	cr_assert(is_under_way(&p));
	peer_say(&p, "late");
	ring_settle(loop->ring);
	cr_assert_eq(loop->ring->done_count, 1);
	peer_close(&p);
	peer_open(&q, loop);
	p = q; /* nothing may be written there */
	peer_say(&q, "mine");
	peer_turns(loop, 3);
	cr_assert_str_eq(q.trace, "bytes(mine)");
	cr_assert_str_eq(p.trace, "");
	cr_assert_eq(loop->ring->used_count, 0);
	peer_close(&q);
	loop_destroy(loop);
}

Test(ring, closing_under_way_ends_the_stream_in_the_same_turn)
{
	struct loop *loop = peer_loop();
	struct peer p;
	char byte;

	peer_open(&p, loop);
	peer_turns(loop, 1);
	cr_assert(is_under_way(&p));
	conn_close(&p.conn);
	peer_turns(loop, 1);
	cr_assert_eq(read(p.raw, &byte, 1), 0);
	cr_assert_eq(loop->ring->under_way, 1, "only the loop's own eventfd");
	peer_close(&p);
	loop_destroy(loop);
}

Test(ring, bytes_that_have_come_forbid_to_move)
{
	struct loop *loop = peer_loop();
	struct peer p;

	peer_open(&p, loop);
	peer_turns(loop, 1);
	peer_say(&p, "x");
	ring_settle(loop->ring); /* received, not delivered */
	cr_assert_not(conn_is_idle(&p.conn));
	cr_assert_not(conn_is_idle(&p.conn));
	peer_turns(loop, 1);
	cr_assert_str_eq(p.trace, "bytes(x)");
	cr_assert(conn_is_idle(&p.conn));
	peer_close(&p);
	loop_destroy(loop);
}

Test(ring, taken_back_receive_is_asked_for_again)
{
	struct loop *loop = peer_loop(), *other = peer_loop();
	struct peer p;

	peer_open(&p, loop);
	peer_turns(loop, 1);
	cr_assert(conn_is_idle(&p.conn));
	cr_assert_not(is_under_way(&p));
	peer_say(&p, "stays");
	peer_turns(loop, 2);
	cr_assert_str_eq(p.trace, "bytes(stays)");
	conn_adopt(&p.conn, other, conn_export(&p.conn), &peer_ops, &peer_limits);
	p.loop = other;
	peer_say(&p, "moved");
	peer_turns(loop, 2);
	cr_assert_str_eq(p.trace, "bytes(stays)");
	peer_turns(other, 2);
	cr_assert_str_eq(p.trace, "bytes(stays) bytes(moved)");
	peer_close(&p);
	loop_destroy(loop);
	loop_destroy(other);
}

Test(ring, pause_reads_no_more_than_what_was_under_way)
{
	enum { SENT = 60000, BOUND = 16 * 1024 };
	struct loop *loop = peer_loop();
	struct peer p;

	fill_big();
	peer_open(&p, loop);
	p.is_quiet = true;
	peer_turns(loop, 1);
	conn_pause_read(&p.conn);
	cr_assert(is_under_way(&p));
	cr_assert_eq(write(p.raw, big, SENT), SENT);
	peer_turns(loop, 20);
	cr_assert(conn_kept_bytes(&p.conn) <= BOUND + LOOP_RING_BUFFER_BYTES);
	cr_assert_not(is_under_way(&p));
	cr_assert_not(p.conn.is_read_armed);
	conn_resume_read(&p.conn);
	peer_turns(loop, 20);
	cr_assert_eq(p.total, SENT);
	peer_close(&p);
	loop_destroy(loop);
}

Test(ring, send_that_falls_short_goes_on_by_the_backlog)
{
	struct loop *loop = peer_loop();
	struct peer p;
	char *got = malloc(BIG);

	fill_big();
	peer_open(&p, loop);
	conn_send(&p.conn, slice_of(big, BIG - 10));
	peer_turns(loop, 1);
	cr_assert_eq(loop_stats(loop)->writes, 0, "through the ring");
	cr_assert(conn_backlog_bytes(&p.conn) > 0);
	conn_send(&p.conn, slice_of(big + BIG - 10, 10));
	cr_assert_eq(hear(&p, got, BIG), BIG);
	cr_assert_eq(memcmp(got, big, BIG), 0);
	cr_assert_str_eq(p.trace, "drained()");
	free(got);
	peer_close(&p);
	loop_destroy(loop);
}

struct late {
	struct loop_deferred deferred;
	struct peer *peer;
	bool closes;
};

static void run_late(struct loop_deferred *deferred)
{
	struct late *late = (struct late *)(void *)deferred;

	if (late->closes)
		conn_close(&late->peer->conn);
	else
		conn_send(&late->peer->conn, slice_of(big + BIG - 10, 10));
}

Test(ring, second_send_of_a_turn_waits_for_what_the_first_left_over)
{
	struct loop *loop = peer_loop();
	struct peer p;
	struct late late = { .deferred.run = run_late, .peer = &p };
	char *got = malloc(BIG);

	fill_big();
	peer_open(&p, loop);
	conn_send(&p.conn, slice_of(big, BIG - 10));
	loop_defer(loop, &late.deferred);
	peer_turns(loop, 1);
	cr_assert_eq(hear(&p, got, BIG), BIG);
	cr_assert_eq(memcmp(got, big, BIG), 0);
	free(got);
	peer_close(&p);
	loop_destroy(loop);
}

Test(ring, what_a_turn_queued_leaves_before_its_deferred_close)
{
	struct loop *loop = peer_loop();
	struct peer p;
	struct late late = { .deferred.run = run_late, .peer = &p, .closes = true };
	char heard[64];

	peer_open(&p, loop);
	peer_turns(loop, 1);
	conn_send(&p.conn, slice_str("last words"));
	loop_defer(loop, &late.deferred);
	peer_turns(loop, 1);
	peer_hear(&p, heard, sizeof(heard));
	cr_assert_str_eq(heard, "last words");
	peer_close(&p);
	loop_destroy(loop);
}

/* --- TLS --- */

static struct tls_context *client_context(void)
{
	struct tls_options o = { .side = TLS_SIDE_CLIENT, .mode = TLS_MODE_REQUIRE };
	struct tls_context *ctx;
	char why[256] = "";

	cr_assert_eq(tls_context_create(&o, &ctx, why, sizeof(why)), WEIR_OK, "%s", why);
	return ctx;
}

Test(ring, tls_takes_the_socket_back_from_a_receive)
{
	struct loop *loop = peer_loop();
	struct tls_context *ctx = client_context();
	struct peer p;
	char hello[1024];

	peer_open(&p, loop);
	peer_turns(loop, 1);
	cr_assert(is_under_way(&p));
	cr_assert_eq(conn_start_tls(&p.conn, ctx, NULL), WEIR_OK);
	cr_assert_not(is_under_way(&p));
	peer_turns(loop, 2);
	cr_assert(peer_hear(&p, hello, sizeof(hello)) > 0);
	cr_assert_eq(hello[0], 22, "a handshake record");
	cr_assert_not(is_under_way(&p), "OpenSSL reads, nobody else");
	peer_close(&p);
	tls_context_put(&ctx);
	loop_destroy(loop);
}

Test(ring, tls_is_refused_when_plain_bytes_were_received_already)
{
	struct loop *loop = peer_loop();
	struct tls_context *ctx = client_context();
	struct peer p;

	peer_open(&p, loop);
	peer_turns(loop, 1);
	peer_say(&p, "injected");
	ring_settle(loop->ring);
	cr_assert_eq(conn_start_tls(&p.conn, ctx, NULL), WEIR_ERR_PROTOCOL);
	cr_assert_null(p.conn.tls);
	peer_turns(loop, 1);
	cr_assert_str_eq(p.trace, "bytes(injected)");
	peer_close(&p);
	tls_context_put(&ctx);
	loop_destroy(loop);
}

/* --- a loop that sleeps between its turns --- */

static void echo(struct peer *peer, struct slice bytes)
{
	conn_send(&peer->conn, bytes);
}

static void exchange(int fd, size_t len)
{
	static char got[ECHO_MAX];
	size_t sent = 0, heard = 0;

	while (sent < len)
		sent += (size_t)write(fd, big + sent, len - sent);
	while (heard < len) {
		ssize_t n = read(fd, got + heard, len - heard);

		cr_assert(n > 0);
		heard += (size_t)n;
	}
	cr_assert_eq(memcmp(got, big, len), 0);
}

static void *small_client(void *arg)
{
	int fd = *(int *)arg;

	for (size_t i = 0; i < ROUND_TRIPS; i++)
		exchange(fd, 20 + i % 100);
	close(fd);
	return NULL;
}

static void *mixed_client(void *arg)
{
	int fd = *(int *)arg;

	for (size_t i = 0; i < ROUND_TRIPS; i++)
		exchange(fd, i % 3 ? 1 + i % 300 : 1 + (i * 7919) % ECHO_MAX);
	close(fd);
	return NULL;
}

/* Runs a loop that hears, on the other end of a socket pair, what `client` says. */
static void run_echo_by(struct peer *p, void (*on_bytes)(struct peer *, struct slice),
                        void *(*client)(void *))
{
	struct loop *loop = peer_loop();
	pthread_t thread;
	int fds[2];

	fill_big();
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	peer_wrap(p, loop, fds[0]);
	p->is_quiet = true;
	p->on_bytes = on_bytes;
	p->on_closed = stop_loop;
	cr_assert_eq(pthread_create(&thread, NULL, client, &fds[1]), 0);
	loop_run(loop);
	pthread_join(thread, NULL);
}

static void run_echo(struct peer *p, void *(*client)(void *))
{
	run_echo_by(p, echo, client);
}

Test(ring, round_trip_is_one_system_call, .timeout = 60)
{
	struct peer p;
	const struct loop_stats *stats;

	run_echo(&p, small_client);
	stats = loop_stats(p.loop);
	cr_expect_eq(stats->reads + stats->writes + stats->polls_changed, 0);
	cr_expect(stats->submits <= ROUND_TRIPS + 10, "%lu", (unsigned long)stats->submits);
	cr_expect_eq(p.loop->ring->under_way, 0, "nothing is left behind the loop's thread");
	peer_close(&p);
	loop_destroy(p.loop);
}

Test(ring, echo_of_all_sizes_is_exact, .timeout = 60)
{
	struct peer p;

	run_echo(&p, mixed_client);
	peer_close(&p);
	loop_destroy(p.loop);
}

static void echo_and_trim(struct peer *peer, struct slice bytes)
{
	echo(peer, bytes);
	loop_trim(peer->loop);
}

static size_t resident_pages(const struct ring *r)
{
	static unsigned char pages[BIG / 512];
	size_t size = r->buffer_count * r->buffer_bytes, count = 0;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	cr_assert(size / page <= sizeof pages);
	cr_assert_eq(mincore(r->buffers, size, pages), 0);
	for (size_t i = 0; i < size / page; i++)
		count += pages[i] & 1U;
	return count;
}

/* A trim falls between the receive that completes a wait and what is done with its bytes. */
Test(ring, trim_spares_what_has_come, .timeout = 60)
{
	struct peer p;

	run_echo_by(&p, echo_and_trim, mixed_client);
	cr_expect(resident_pages(p.loop->ring) > 0);
	loop_turn(p.loop, false); /* nothing is left of what the loop's end took back */
	loop_trim(p.loop);
	loop_turn(p.loop, false);
	cr_expect_eq(resident_pages(p.loop->ring), 0);
	peer_close(&p);
	loop_destroy(p.loop);
}

/* --- a close is heard although nothing else happens --- */

static void close_other(struct peer *peer, struct slice bytes)
{
	struct peer *other = peer->arg;

	(void)bytes;
	conn_close(&other->conn);
}

static void *asks_for_a_close(void *arg)
{
	struct peer *peers = arg;
	char byte;

	usleep(50000); /* both receives are under way, and the loop sleeps */
	peer_say(&peers[0], "close the other");
	cr_assert_eq(read(peers[1].raw, &byte, 1), 0);
	peer_hang_up(&peers[0]);
	return NULL;
}

static void open_blocking(struct peer *p, struct loop *loop)
{
	int fds[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	peer_wrap(p, loop, fds[0]);
	p->raw = fds[1];
}

Test(ring, close_is_heard_before_the_loop_sleeps, .timeout = 60)
{
	struct loop *loop = peer_loop();
	struct peer peers[2];
	pthread_t thread;

	open_blocking(&peers[0], loop);
	open_blocking(&peers[1], loop);
	peers[0].arg = &peers[1];
	peers[0].on_bytes = close_other;
	peers[0].on_closed = stop_loop;
	cr_assert_eq(pthread_create(&thread, NULL, asks_for_a_close, peers), 0);
	loop_run(loop);
	pthread_join(thread, NULL);
	peer_close(&peers[0]);
	peer_close(&peers[1]);
	loop_destroy(loop);
}

static void *run_loop(void *loop)
{
	loop_run(loop);
	return NULL;
}

Test(ring, loop_of_a_thread_that_left_is_destroyed_by_another, .timeout = 60)
{
	struct loop *loop = peer_loop();
	struct peer p;
	pthread_t thread;

	peer_open(&p, loop);
	cr_assert_eq(pthread_create(&thread, NULL, run_loop, loop), 0);
	usleep(50000);
	loop_stop_post(loop);
	pthread_join(thread, NULL);
	conn_send(&p.conn, slice_str("too late to be sent by the ring"));
	peer_close(&p);
	loop_destroy(loop);
}

struct alarm {
	struct loop_timer timer;
	struct loop *loop;
};

static void stop_by_alarm(struct loop_timer *timer)
{
	loop_stop(((struct alarm *)(void *)timer)->loop);
}

Test(ring, wait_ends_when_a_timer_is_due, .timeout = 60)
{
	struct alarm t = { .loop = peer_loop() };

	loop_timer_arm(t.loop, &t.timer, 30000, stop_by_alarm);
	loop_run(t.loop);
	cr_assert_null(t.timer.loop);
	loop_destroy(t.loop);
}
