/* SPDX-License-Identifier: PostgreSQL */
/*
 * Log-in rules in pg_hba.conf's format, the subset that a pooler can decide
 * on: types local, host, hostssl, hostnossl; databases all, sameuser,
 * replication or names; users all or names; either also as @file, a file of
 * them beside the one that names it; addresses all, CIDR or address and mask; methods
 * trust, reject, password, md5, scram-sha-256, cert, peer; options map and
 * clientcert. Anything else is an error at load, never a rule that is silently
 * weaker. Loaded rules never change and may be read by any thread.
 */
#ifndef WEIR_AUTH_HBA_H
#define WEIR_AUTH_HBA_H

#include <stdbool.h>
#include <sys/socket.h>

#include "auth/client_login.h"
#include "base/assert.h"
#include "base/err.h"
#include "base/slice.h"

enum { HBA_ERROR_MAX = 256 };

struct hba;

/*
 * *out is owned by the caller; on WEIR_ERR_CONFIG and WEIR_ERR_IO error holds "file:line: text".
 * hba_parse reads no file: @file is an error there.
 */
enum weir_err hba_load(const char *path, struct hba **out,
                       char error[HBA_ERROR_MAX]) WEIR_MUST_CHECK;
enum weir_err hba_parse(struct slice text, const char *path, struct hba **out,
                        char error[HBA_ERROR_MAX]) WEIR_MUST_CHECK;
void hba_destroy(struct hba *hba); /* NULL is fine */

struct hba_request {
	const struct sockaddr *peer; /* borrowed; AF_UNIX: local; mapped IPv6 counts as IPv4 */
	bool is_tls;
	bool is_replication; /* physical: only "replication" matches */
	struct slice database;
	struct slice user;
};

/* What a rule demands of the client's certificate beside its method. */
enum hba_client_cert {
	HBA_CLIENT_CERT_NONE,
	HBA_CLIENT_CERT_VERIFY_CA,   /* one of our authorities made it */
	HBA_CLIENT_CERT_VERIFY_FULL, /* and its common name is the user, or mapped to it */
};

struct hba_verdict {
	enum client_method method; /* REJECT when no rule matches */
	unsigned line;             /* of the rule; 0: none matches */
	enum hba_client_cert client_cert;
	const char *map; /* of the ident file; empty: none; lives as long as the rules */
};

/* The first rule that matches decides, as in PostgreSQL. Pure. */
struct hba_verdict hba_match(const struct hba *hba, const struct hba_request *request);

#endif
