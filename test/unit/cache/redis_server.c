/* SPDX-License-Identifier: PostgreSQL */
/* A redis-server as a child process. One thread; ends the test on what shouldn't happen. */
#include "redis_server.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

enum { START_TRIES = 1500, TRY_US = 20000, PORT_TRIES = 5 };

/* Below the range that the kernel gives to outgoing connections (ip(7)): one of those could
 * take the port before the server does. */
uint16_t redis_server_free_port(void)
{
	enum { FIRST = 10000, LAST = 20999, TRIES = 100 };
	struct sockaddr_in addr = { .sin_family = AF_INET };
	uint16_t port = 0, found = 0;
	int fd;

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (unsigned i = 0; i < TRIES && !found; i++) {
		fd = socket(AF_INET, SOCK_STREAM, 0);
		cr_assert_geq(fd, 0);
		cr_assert_eq(getrandom(&port, sizeof port, 0), sizeof port);
		port = (uint16_t)(FIRST + port % (LAST - FIRST + 1));
		addr.sin_port = htons(port);
		if (bind(fd, (struct sockaddr *)&addr, sizeof addr) == 0)
			found = port;
		close(fd);
	}
	cr_assert_neq(found, 0, "no free port");
	return found;
}

static redisContext *connect_to(const struct redis_server *s)
{
	redisContext *c = redisConnect("127.0.0.1", s->port);

	if (c && c->err) {
		redisFree(c);
		c = NULL;
	}
	if (c && s->password)
		freeReplyObject(redisCommand(c, "AUTH %s", s->password));
	return c;
}

static void write_config(const struct redis_server *s)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof path, "%s/redis.conf", s->dir);
	f = fopen(path, "w");
	cr_assert_not_null(f);
	fprintf(f, "bind 127.0.0.1\nport %u\ndir %s\n%slogfile %s/log\n%s\n", s->port, s->dir,
	        s->is_sentinel ? "" : "save \"\"\n", s->dir, s->config);
	fclose(f);
}

/* False: it ended, since another program was faster to take its port. */
static bool launch(struct redis_server *s)
{
	char path[128];
	redisContext *c = NULL;

	snprintf(path, sizeof path, "%s/redis.conf", s->dir);
	s->pid = fork();
	if (s->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test leaves nothing behind */
		execlp("redis-server", "redis-server", path, s->is_sentinel ? "--sentinel" : NULL,
		       (char *)NULL);
		_exit(127);
	}
	cr_assert_gt(s->pid, 0);
	for (unsigned i = 0; i < START_TRIES && !c; i++) {
		usleep(TRY_US);
		if (waitpid(s->pid, NULL, WNOHANG) == s->pid)
			return false;
		c = connect_to(s);
	}
	cr_assert_not_null(c, "redis-server doesn't start");
	redisFree(c);
	return true;
}

static void start(struct redis_server *s, const char *config)
{
	if (system("command -v redis-server >/dev/null 2>&1") != 0)
		cr_skip_test("no redis-server on this machine");
	snprintf(s->dir, sizeof s->dir, "/tmp/weir-redis-XXXXXX");
	cr_assert_not_null(mkdtemp(s->dir));
	snprintf(s->config, sizeof s->config, "%s", config ? config : "");
	for (unsigned i = 0; i < PORT_TRIES; i++) {
		s->port = redis_server_free_port();
		write_config(s);
		if (launch(s))
			return;
	}
	cr_assert_fail("no port for redis-server");
}

void redis_server_start(struct redis_server *s, const char *config)
{
	memset(s, 0, sizeof *s);
	start(s, config);
}

void redis_server_start_with(struct redis_server *s, const char *config, const char *password)
{
	memset(s, 0, sizeof *s);
	s->password = password;
	start(s, config);
}

void redis_server_start_sentinel(struct redis_server *s, const char *config)
{
	memset(s, 0, sizeof *s);
	s->password = "guard";
	s->is_sentinel = true;
	start(s, config);
}

static void end(struct redis_server *s, int sig)
{
	int status;

	if (s->pid <= 0)
		return;
	kill(s->pid, SIGCONT);
	kill(s->pid, sig);
	waitpid(s->pid, &status, 0);
	s->pid = 0;
}

void redis_server_stop(struct redis_server *s)
{
	static const char *const names[] = { "redis.conf", "log", "dump.rdb", "nodes.conf" };
	char path[128];

	end(s, SIGKILL);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, "%s/%s", s->dir, names[i]);
		unlink(path);
	}
	rmdir(s->dir);
}

void redis_server_kill(struct redis_server *s)
{
	end(s, SIGKILL);
}

uint16_t redis_server_bus_port(const struct redis_server *s)
{
	const char *line = strstr(s->config, "cluster-port ");

	cr_assert_not_null(line);
	return (uint16_t)strtoul(line + sizeof "cluster-port", NULL, 10);
}

void redis_server_restart(struct redis_server *s)
{
	char reply[64];

	redis_server_command(s, reply, sizeof reply, "SAVE");
	end(s, SIGKILL);
	cr_assert(launch(s));
}

void redis_server_pause(struct redis_server *s)
{
	kill(s->pid, SIGSTOP);
}

void redis_server_resume(struct redis_server *s)
{
	kill(s->pid, SIGCONT);
}

void redis_server_command(struct redis_server *s, char *reply, size_t reply_size, const char *fmt,
                          ...)
{
	char line[4096], *words[64], *save = NULL;
	redisContext *c = connect_to(s);
	redisReply *r;
	va_list ap;
	int argc = 0;

	va_start(ap, fmt);
	vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	for (char *w = strtok_r(line, " ", &save); w && argc < 64; w = strtok_r(NULL, " ", &save))
		words[argc++] = w;
	cr_assert_not_null(c);
	r = redisCommandArgv(c, argc, (const char **)words, NULL);
	cr_assert_not_null(r);
	if (r->type == REDIS_REPLY_INTEGER)
		snprintf(reply, reply_size, "%lld", r->integer);
	else if (r->type == REDIS_REPLY_ARRAY && r->elements > 0 && r->element[0]->str)
		snprintf(reply, reply_size, "%s", r->element[0]->str);
	else
		snprintf(reply, reply_size, "%s", r->str ? r->str : "nil");
	freeReplyObject(r);
	redisFree(c);
}
