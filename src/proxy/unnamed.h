/* SPDX-License-Identifier: PostgreSQL */
/*
 * The protocol's unnamed statement. PostgreSQL keeps it until the next Parse of it or a
 * simple query (manual, 55.2.3); a client may bind it in later requests, when it has
 * another server. Its Parse is copied as it is sent, and interned only where it is used
 * without that server.
 */
#ifndef WEIR_PROXY_UNNAMED_H
#define WEIR_PROXY_UNNAMED_H

#include "pool/replies.h"
#include "proxy/client.h"

struct unnamed;

/*
 * The body of its latest Parse; empty: one that can't be kept. All that is kept is at most
 * prepared_total_max bytes; what goes beyond is unknown (26000) once the client has another server.
 */
void unnamed_parsed(struct client *c, struct slice parse);
void unnamed_end(struct client *c);  /* there is none any more */
void unnamed_free(struct client *c); /* the client goes */
/* Borrowed, until the next Parse; NULL: there is none, or it isn't known. */
struct prepared *unnamed_prepared(struct client *c);
/* CloseComplete came. */
void unnamed_closed(struct client *c, const struct replies *r);
/* An error skips what is left of the current segment, Parse messages of it perhaps. */
void unnamed_refused(struct client *c, struct replies *r);

#endif
