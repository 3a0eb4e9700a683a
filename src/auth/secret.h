/* SPDX-License-Identifier: PostgreSQL */
/*
 * What kind of secret a user list, an ini or pg_authid holds for a user. The
 * rule is PostgreSQL's: what isn't exactly an md5 hash or a SCRAM secret is a
 * plain password. Pure, any thread.
 */
#ifndef WEIR_AUTH_SECRET_H
#define WEIR_AUTH_SECRET_H

#include "base/slice.h"

enum secret_kind {
	SECRET_NONE, /* empty: nobody can log in with it */
	SECRET_PLAIN,
	SECRET_MD5,   /* md5 and 32 hexadecimal digits */
	SECRET_SCRAM, /* SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey */
};

enum { SECRET_MD5_CHARS = 35 };

enum secret_kind secret_classify(struct slice stored);

#endif
