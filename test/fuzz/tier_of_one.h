/* SPDX-License-Identifier: PostgreSQL */
/*
 * A whole proxy of one worker between two clients and a server that are ours:
 * its sockets' other ends are held here, so that a fuzz target says every byte.
 * What clients are sent is checked as it comes. One at a time, one thread.
 */
#ifndef WEIR_TEST_FUZZ_TIER_OF_ONE_H
#define WEIR_TEST_FUZZ_TIER_OF_ONE_H

#include <stdbool.h>

#include "base/slice.h"

enum { TIER_CLIENTS = 2, TIER_SERVERS = 3 };

enum tier_auth { TIER_AUTH_ANY, TIER_AUTH_SCRAM, TIER_AUTH_MD5, TIER_AUTH_PLAIN, TIER_AUTHS };

struct tier_ways {
	bool is_on_ring;      /* io_uring */
	bool is_session_pool;
	bool is_replication;  /* the clients ask for it */
	bool has_own_log_in;  /* servers are told nothing by themselves when they are opened */
	bool has_3_2;         /* clients speak protocol 3.2 */
	bool has_settings;    /* they bring one, so that the first server is asked for it */
	bool is_of_strangers; /* clients say by themselves who they are; nothing they hear is checked */
	enum tier_auth auth;  /* how they prove it; nobody can but by TIER_AUTH_ANY */
};

void tier_open(const struct tier_ways *ways);
void tier_close(void);
/* A client that isn't there yet connects, and logs in first unless it is a stranger. */
void tier_client_send(unsigned client, struct slice bytes);
void tier_server_send(unsigned server, struct slice bytes);
void tier_client_hang_up(unsigned client);
void tier_server_hang_up(unsigned server);
/* The tier's session heard it; pid: of the notifying server process. */
void tier_notify(const char *channel);
/* Until nothing moves any more, or nearly. */
void tier_settle(void);

#endif
