/* SPDX-License-Identifier: PostgreSQL */
/*
 * Listening sockets: what opens, what is refused with a reason, pausing, the
 * Unix socket's file and mode.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/listener.h"
#include "net/loop_priv.h"
#include "peer.h"

struct accepted {
	int count, unix_count, last_fd;
};

static void on_accept(void *receiver, int fd, bool is_unix)
{
	struct accepted *a = receiver;

	a->count++;
	a->unix_count += is_unix;
	a->last_fd = fd;
}

static struct listener *open_or_die(struct loop *loop, const struct listener_options *o,
                                    struct accepted *a)
{
	struct listener *l;
	char why[256] = "";

	cr_assert_eq(listener_open(loop, o, on_accept, a, &l, why, sizeof(why)), WEIR_OK, "%s", why);
	return l;
}

static int dial(uint16_t port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
		                        .sin_port = htons(port),
		                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	cr_assert_eq(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

Test(listener, accepts_tcp_non_blocking)
{
	struct listener_options o = { .addresses = "127.0.0.1", .backlog = 8 };
	struct accepted a = { 0 };
	struct loop *loop = peer_loop();
	struct listener *l = open_or_die(loop, &o, &a);
	int fd = dial(listener_port(l));

	peer_turns(loop, 2);
	cr_assert_eq(a.count, 1);
	cr_assert_eq(a.unix_count, 0);
	cr_assert(fcntl(a.last_fd, F_GETFL) & O_NONBLOCK);
	cr_assert(fcntl(a.last_fd, F_GETFD) & FD_CLOEXEC);
	close(a.last_fd);
	close(fd);
	listener_close(l);
	loop_destroy(loop);
}

Test(listener, accepts_more_from_turn_to_turn_while_there_are_more)
{
	struct listener_options o = { .addresses = "127.0.0.1", .backlog = 8 };
	static const int counts[] = { 1, 3, 7, 8, 8 };
	struct accepted a = { 0 };
	struct loop *loop = peer_loop();
	struct listener *l = open_or_die(loop, &o, &a);
	int fds[8];

	for (size_t i = 0; i < WEIR_COUNTOF(fds); i++)
		fds[i] = dial(listener_port(l));
	for (size_t i = 0; i < WEIR_COUNTOF(counts); i++) {
		peer_turns(loop, 1);
		cr_assert_eq(a.count, counts[i], "%d after turn %zu", a.count, i);
	}
	for (size_t i = 0; i < WEIR_COUNTOF(fds); i++)
		close(fds[i]);
	listener_close(l);
	loop_destroy(loop);
}

static int option_of(int fd, int level, int option)
{
	int value = -1;
	socklen_t len = sizeof(value);

	cr_assert_eq(getsockopt(fd, level, option, &value, &len), 0);
	return value;
}

Test(listener, accepted_sockets_have_the_options)
{
	struct listener_options o = { .addresses = "127.0.0.1",
		                          .backlog = 8,
		                          .socket = { .tcp_keepalive = true,
		                                      .tcp_keepidle_s = 77,
		                                      .tcp_user_timeout_ms = 4321 } };
	struct accepted a = { 0 };
	struct loop *loop = peer_loop();
	struct listener *l = open_or_die(loop, &o, &a);
	int fd = dial(listener_port(l));

	peer_turns(loop, 2);
	cr_assert_eq(a.count, 1);
	cr_assert_eq(option_of(a.last_fd, IPPROTO_TCP, TCP_NODELAY), 1);
	cr_assert_eq(option_of(a.last_fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	cr_assert_eq(option_of(a.last_fd, IPPROTO_TCP, TCP_KEEPIDLE), 77);
	cr_assert_eq(option_of(a.last_fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 4321);
	close(a.last_fd);
	close(fd);
	listener_close(l);
	loop_destroy(loop);
}

Test(listener, star_opens_all_and_a_list_its_members)
{
	struct listener_options all = { .addresses = "*", .backlog = 8 };
	struct listener_options list = { .addresses = "127.0.0.1, 127.0.0.2", .backlog = 8 };
	struct accepted a = { 0 };
	struct loop *loop = peer_loop();
	struct listener *first = open_or_die(loop, &all, &a), *second = open_or_die(loop, &list, &a);
	int fd = dial(listener_port(first));

	close(dial(listener_port(second)));
	peer_turns(loop, 2);
	cr_assert_eq(a.count, 2);
	close(fd);
	listener_close(first);
	listener_close(second);
	loop_destroy(loop);
}

Test(listener, taken_port_is_explained)
{
	struct listener_options o = { .addresses = "127.0.0.1", .backlog = 8 };
	struct accepted a = { 0 };
	struct loop *loop = peer_loop();
	struct listener *l = open_or_die(loop, &o, &a), *second;
	char why[256] = "";

	o.port = listener_port(l);
	cr_assert_neq(listener_open(loop, &o, on_accept, &a, &second, why, sizeof(why)), WEIR_OK);
	cr_assert_null(second);
	cr_assert(strstr(why, "127.0.0.1") && strstr(why, "in use"), "%s", why);
	listener_close(l);
	loop_destroy(loop);
}

Test(listener, nonsense_address_is_explained)
{
	struct listener_options o = { .addresses = "300.1.2.3.4", .backlog = 8 };
	struct loop *loop = peer_loop();
	struct listener *l;
	char why[256] = "";

	cr_assert_neq(listener_open(loop, &o, on_accept, NULL, &l, why, sizeof(why)), WEIR_OK);
	cr_assert_not_null(strstr(why, "300.1.2.3.4"));
	loop_destroy(loop);
}

static int dial_unix(const char *dir, unsigned port)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int len = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/.s.PGSQL.%u", dir, port);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (dir[0] == '@')
		addr.sun_path[0] = '\0';
	if (connect(fd, (struct sockaddr *)&addr,
	            (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len)) == 0)
		return fd;
	close(fd);
	return -1;
}

Test(listener, unix_socket_has_its_mode_and_goes_at_the_end)
{
	char dir[] = "/tmp/weir-net-XXXXXX", path[64];
	struct listener_options o = { .port = 6432, .unix_mode = 0640, .backlog = 8 };
	struct accepted a = { 0 };
	struct loop *loop = peer_loop();
	struct listener *l, *second;
	struct stat st;
	char why[256];
	int fd;

	cr_assert_not_null(mkdtemp(dir));
	o.unix_dir = dir;
	l = open_or_die(loop, &o, &a);
	snprintf(path, sizeof(path), "%s/.s.PGSQL.6432", dir);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0640);
	fd = dial_unix(dir, 6432);
	peer_turns(loop, 2);
	cr_assert_eq(a.unix_count, 1);
	cr_assert_neq(listener_open(loop, &o, on_accept, &a, &second, why, sizeof(why)), WEIR_OK);
	cr_assert_eq(stat(path, &st), 0, "a living socket's file stays");
	listener_close(l);
	cr_assert_neq(stat(path, &st), 0);
	close(fd);
	rmdir(dir);
	loop_destroy(loop);
}

Test(listener, stale_unix_socket_is_replaced)
{
	char dir[] = "/tmp/weir-net-XXXXXX";
	struct listener_options o = { .port = 6433, .unix_mode = 0777, .backlog = 8 };
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct accepted a = { 0 };
	struct loop *loop = peer_loop();
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	cr_assert_not_null(mkdtemp(dir));
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/.s.PGSQL.6433", dir);
	cr_assert_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	close(fd);
	o.unix_dir = dir;
	listener_close(open_or_die(loop, &o, &a));
	rmdir(dir);
	loop_destroy(loop);
}

Test(listener, abstract_unix_socket)
{
	char dir[64];
	struct listener_options o = { .port = 6434, .backlog = 8, .unix_dir = dir };
	struct accepted a = { 0 };
	struct loop *loop = peer_loop();
	struct listener *l;
	int fd;

	snprintf(dir, sizeof(dir), "@weir-test-%d", (int)getpid());
	l = open_or_die(loop, &o, &a);
	fd = dial_unix(dir, 6434);
	cr_assert(fd >= 0);
	peer_turns(loop, 2);
	cr_assert_eq(a.unix_count, 1);
	close(fd);
	listener_close(l);
	loop_destroy(loop);
}

Test(listener, rests_when_descriptors_run_out, .timeout = 60)
{
	struct listener_options o = { .addresses = "127.0.0.1", .backlog = 8 };
	struct rlimit old, none;
	struct accepted a = { 0 };
	struct loop *loop = peer_loop();
	struct listener *l = open_or_die(loop, &o, &a);
	int fd = dial(listener_port(l));

	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = 3;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	peer_turns(loop, 5);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	cr_assert_eq(a.count, 0);
	for (int i = 0; i < 20000 && a.count == 0; i++) {
		peer_turns(loop, 1);
		usleep(1000);
	}
	cr_assert_eq(a.count, 1);
	close(fd);
	listener_close(l);
	loop_destroy(loop);
}
