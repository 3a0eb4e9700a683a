/* SPDX-License-Identifier: PostgreSQL */
/*
 * SQL that names a statement prepared by protocol: EXECUTE name (...). On a
 * server the statement has pgweir's name, so the text is written again with it.
 */
#ifndef WEIR_PROXY_SQLNAME_H
#define WEIR_PROXY_SQLNAME_H

#include "proxy/client.h"
#include "proxy/request.h"

/* Which of the client's statements the text executes, and where its name stands; NULL: none. */
struct prepared *sqlname_executed(const struct client *c, const struct statement *s,
				  struct slice sql, struct slice *name);
/* The simple query with the server's name in place of `name`, in turn memory. */
struct request sqlname_request(struct client *c, struct slice sql, struct slice name,
			       const struct prepared *p);

#endif
