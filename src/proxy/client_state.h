/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a client's connection is doing, one state at a time.
 *
 *  LOGIN --> IDLE --> (WAIT_CACHE) --> (WAIT_NODE) --> (WAIT_SERVER) --> ACTIVE --> (WAIT_HEARD)
 *                \--console--> CONSOLE --> IDLE                    any --> CLOSED
 *
 * WAIT_NODE: no primary, or no replica fresh enough yet. WAIT_SERVER: in a pool's queue. ACTIVE:
 * replies are expected. WAIT_HEARD: a listener's notifications from before a request precede its
 * answer, its own ones the ReadyForQuery that is due.
 * An IDLE client may still be linked to a server: inside a transaction, or pinned.
 */
#ifndef WEIR_PROXY_CLIENT_STATE_H
#define WEIR_PROXY_CLIENT_STATE_H

enum client_state {
	CLIENT_LOGIN,
	CLIENT_IDLE,
	CLIENT_WAIT_CACHE,
	CLIENT_WAIT_NODE,
	CLIENT_WAIT_SERVER,
	CLIENT_ACTIVE,
	CLIENT_WAIT_HEARD,
	CLIENT_CONSOLE,
	CLIENT_CLOSED,
	CLIENT_STATE_COUNT
};

#endif
