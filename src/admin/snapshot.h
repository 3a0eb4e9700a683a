/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the console shows of workers, as plain rows: each worker fills a part
 * in memory of its own when asked by mail, the control thread reads them all
 * once every part is there. No row points into a worker's objects: every text
 * is in the part's arena or static. Built by one thread, then handed over.
 */
#ifndef WEIR_ADMIN_SNAPSHOT_H
#define WEIR_ADMIN_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

enum { /* bit set: what the command needs; the rest may stay empty */
	   ADMIN_WANT_POOLS = 1u << 0,
	   ADMIN_WANT_CLIENTS = 1u << 1,
	   ADMIN_WANT_SERVERS = 1u << 2,
	   ADMIN_WANT_MEMORY = 1u << 3,
};

struct admin_pool { /* one pool of one worker; the console adds them up per database and user */
	const char *database;
	const char *user;
	const char *node; /* "" where nodes don't matter */
	uint32_t cl_active, cl_waiting, cl_active_cancel_req, cl_waiting_cancel_req;
	uint32_t sv_active, sv_active_cancel, sv_being_canceled, sv_idle, sv_used, sv_tested, sv_login;
	uint64_t maxwait_us;   /* of the client that waits longest now */
	const char *pool_mode; /* static */
	const char *load_balance_hosts; /* static; NULL: one host */
};

struct admin_conn { /* a client or a server connection */
	const char *user;
	const char *database;
	const char *replication; /* "none", "logical", "physical" */
	const char *state;       /* pgbouncer-compatible: active, idle, waiting, used, new, ... */
	const char *addr;        /* "unix" for Unix sockets */
	const char *local_addr;
	uint16_t port, local_port;
	uint32_t remote_pid;     /* 0: not known */
	int64_t connect_time_us; /* wall clock */
	int64_t request_time_us; /* wall clock; 0: none yet */
	uint64_t wait_us;
	uint64_t ptr;    /* any number that tells objects apart */
	uint64_t link;   /* ptr of the connection it is joined with; 0: none */
	uint64_t id;     /* unique in the process; KILL_CLIENT takes it */
	const char *tls; /* "" or "TLSv1.3/TLS_AES_256_GCM_SHA384" */
	const char *application_name;
	uint32_t prepared_statements;
	bool close_needed;
	uint32_t pins;    /* clients: enum pin_reason */
	const char *pin;  /* clients: why it keeps its server, "" when it doesn't */
	const char *node; /* servers: which node, "" for clients */
};

struct admin_memory {
	const char *name;
	uint64_t size, used, free, total; /* object bytes, objects used, objects free, bytes in all */
};

struct admin_part {
	struct admin_part *next; /* owned; used by the collector */
	struct arena arena;
	unsigned worker;
	size_t pool_count, client_count, server_count, memory_count;
	struct admin_pool *pools;
	struct admin_conn *clients;
	struct admin_conn *servers;
	struct admin_memory *memory;
	uint32_t login_clients;   /* clients not logged in yet; they have no row */
	uint32_t console_clients; /* with the pools */
};

struct admin_part *admin_part_create(unsigned worker);
void admin_part_destroy(struct admin_part **list); /* the whole list; NULL is fine */

#endif
