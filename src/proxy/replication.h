/* SPDX-License-Identifier: PostgreSQL */
/*
 * Replication connections (manual, "Streaming Replication Protocol"): a client whose start-up
 * message asks for `replication` has a connection to the primary of its own, opened with its own
 * start-up parameters within the limits of its pool and closed with it. Behind the log-in messages
 * pass both ways as they are: only headers are read, to know where one ends.
 */
#ifndef WEIR_PROXY_REPLICATION_H
#define WEIR_PROXY_REPLICATION_H

#include "proxy/client.h"
#include "wire/startup.h"

struct topology_node;

/* What the start-up message asks for; false: a value that PostgreSQL refuses too. Pure. */
bool replication_mode_of(const struct startup *s, enum replication_mode *out);
/* The name as PostgreSQL's tools and SHOW write it. */
const char *replication_text(enum replication_mode mode);
/*
 * The entry for a physical connection whose database name is none of [databases], as the tools
 * name "replication": the first, if all are of one cluster. NULL: there is no such.
 */
const char *replication_entry(const struct config *cfg);

/* During the log-in: opens the client's own connection there, or waits for room. */
void replication_open(struct client *c, const struct topology_node *node);
/* A pooled server was granted, whose place its own connection takes; true: it has that already. */
bool replication_granted(struct client *c);
/* The start-up parameters of the connection that is opened; how many pairs, at most `room`. */
size_t replication_pairs(const struct server *s, struct slice *pairs, size_t room);
/* That connection is ready, or failed: `error` is the server's own message, if it sent one. */
void replication_opened(struct server *s);
void replication_failed(struct server *s, enum close_reason reason, struct slice error);

size_t replication_client_bytes(struct client *c, struct slice bytes);
size_t replication_server_bytes(struct server *s, struct slice bytes);
/* The client lets go of its connection: what it said last is sent, then it is closed. */
void replication_client_gone(struct server *s);
/* The connection is gone: so is its client. */
void replication_lost(struct client *c, struct server *s);
/* Draining: idle, or streams without end, and isn't inside a message. */
bool replication_may_leave(const struct client *c);

#endif
