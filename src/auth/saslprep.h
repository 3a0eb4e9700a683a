/* SPDX-License-Identifier: PostgreSQL */
/*
 * SASLprep (RFC 4013): passwords that look the same become the same bytes
 * before SCRAM derives from them. As PostgreSQL: what it can't be applied to
 * (not UTF-8, prohibited, nothing left) is taken as it is, and so is ASCII.
 * Pure, any thread.
 */
#ifndef WEIR_AUTH_SASLPREP_H
#define WEIR_AUTH_SASLPREP_H

#include "base/slice.h"

/* A longer password is taken as it is: putting marks in order costs their number squared. */
enum { SASLPREP_MAX_BYTES = 1024 };

struct saslprep {
	struct slice text; /* borrowed from the password, or from owned */
	char *owned;       /* NULL: the password needed no change */
	size_t owned_size;
};

/* The password stays the caller's, and must outlive p. */
void saslprep_init(struct saslprep *p, struct slice password);
void saslprep_fini(struct saslprep *p); /* wipes */

#endif
