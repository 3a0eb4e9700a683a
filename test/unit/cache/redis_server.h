/* SPDX-License-Identifier: PostgreSQL */
/*
 * A real redis-server of a test's own: a child process on a free loopback port
 * with a folder of its own. A test without redis-server on the machine is
 * skipped. Stopped by its process id.
 */
#ifndef WEIR_TEST_UNIT_CACHE_REDIS_SERVER_H
#define WEIR_TEST_UNIT_CACHE_REDIS_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct redis_server {
	pid_t pid;
	uint16_t port;
	char dir[64];
	char config[768];     /* further lines of redis.conf */
	const char *password; /* for redis_server_command; NULL: none */
	bool is_sentinel;
};

/* Ends the test as skipped when there is no redis-server. config: NULL or lines. */
void redis_server_start(struct redis_server *s, const char *config);
void redis_server_start_with(struct redis_server *s, const char *config, const char *password);
void redis_server_start_sentinel(struct redis_server *s, const char *config); /* "guard" opens it */
void redis_server_stop(struct redis_server *s);    /* and removes the folder */
void redis_server_kill(struct redis_server *s);    /* leaves the folder */
void redis_server_restart(struct redis_server *s); /* saves its data, same port */
void redis_server_pause(struct redis_server *s);
void redis_server_resume(struct redis_server *s);

uint16_t redis_server_free_port(void);
uint16_t redis_server_bus_port(const struct redis_server *s); /* its "cluster-port" line */

/* One command, words apart by blanks; its reply as text ("nil" for none). */
void redis_server_command(struct redis_server *s, char *reply, size_t reply_size, const char *fmt,
                          ...) __attribute__((format(printf, 4, 5)));

#endif
