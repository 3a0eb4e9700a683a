/* SPDX-License-Identifier: PostgreSQL */
/*
 * What listeners hear, and when: idle outside a transaction, and before the answer to
 * a request that came after, as from PostgreSQL. listen.h says who listens. Worker's
 * thread.
 */
#ifndef WEIR_PROXY_HEAR_H
#define WEIR_PROXY_HEAR_H

#include "proxy/client.h"

struct notification {
	uint32_t pid; /* of the server process that notified */
	const char *channel, *payload;
};

/*
 * A listener's request outside a transaction: all that was notified before is heard before
 * its answer begins, as from PostgreSQL. True: it waits for that first. Only where c->listening.
 */
bool hear_first(struct client *c);
void hear_served(struct client *c); /* that request is served */
/* What waits to hear is a request, not the end of one that is answered. Only in WAIT_HEARD. */
bool hear_is_before_request(const struct client *c);
/*
 * What was notified inside a transaction, by itself too, is heard before the ReadyForQuery that
 * ends it, as from PostgreSQL. True: that message isn't passed on now, but when all is heard.
 */
bool hear_holds_ready(struct client *c, char status);
/* All of its requests are answered, but for such a message. */
void hear_end_request(struct client *c);
/* The client is idle: what was kept for it leaves. */
void hear_flush(struct client *c);
/* The request may notify: whose it is, is told to those who hear of it. */
void hear_note_writer(struct client *c);

/* From the tier: something was notified; all is told that was when the client asked. */
void hear_notified(struct proxy *p, const char *database, const struct notification *n);
void hear_caught_up(struct proxy *p, uint64_t client_id);

#endif
