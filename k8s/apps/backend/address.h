/* SPDX-License-Identifier: PostgreSQL */
/*
 * DATABASE_URL taken apart once: libpq's parameters with what each of our
 * sessions needs added, and the host name that must be looked up before libpq
 * gets it, since libpq would block on that. Pure.
 */
#ifndef FINAI_ADDRESS_H
#define FINAI_ADDRESS_H

#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"

enum { ADDRESS_PARAMS_MAX = 64 };

struct address {
	const char *names[ADDRESS_PARAMS_MAX];
	char *values[ADDRESS_PARAMS_MAX]; /* owned */
	int count;
	char *host; /* owned; NULL: numeric, a socket's folder, or none */
};

/*
 * timeout_ms bounds each statement and each idle moment inside a transaction on
 * the server. Negative, and why: libpq can't read it, or it names several hosts
 * (pgweir is one address, and knows the nodes).
 */
int address_init(struct address *a, const char *url, uint32_t timeout_ms, char *why,
                 size_t why_size) WEIR_MUST_CHECK;
void address_fini(struct address *a);
/* For PQconnectStartParams; hostaddr may be NULL. The arrays have ADDRESS_PARAMS_MAX + 2 places. */
void address_fill(const struct address *a, const char *hostaddr, const char **names,
                  const char **values);

#endif
