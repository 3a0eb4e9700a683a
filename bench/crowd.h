/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the files of crowd share: its clients, and how they log in. crowd.c says
 * what it is for.
 */
#ifndef WEIR_BENCH_CROWD_H
#define WEIR_BENCH_CROWD_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct login; /* of one that logs in: crowd_login.c */

struct member {
	int fd;
	SSL *ssl;            /* owned; NULL: plain */
	struct login *login; /* owned; NULL: done */
	uint64_t asked_us;   /* when its query under way left */
	uint32_t answers;
};

struct crowd {
	struct member *members; /* owned */
	size_t count;
	uint16_t port;
	const char *user, *password, *database;
	SSL_CTX *tls; /* owned; NULL: plain */
};

_Noreturn void die(const char *what);

/* Logs in members [from, to), all at the same time; ends the process where one is refused. */
void crowd_login(struct crowd *crowd, size_t from, size_t to);

/* Blocking, whole. */
void member_send(struct member *m, struct slice bytes);
size_t member_receive(struct member *m, char *out, size_t room); /* at least one byte */

#endif
