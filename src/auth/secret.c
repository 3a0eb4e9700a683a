/* SPDX-License-Identifier: PostgreSQL */
/*
 * Tells stored secrets apart by form alone: a user whose plain password looks
 * exactly like a stored form can't be told from one, as in PostgreSQL. Pure,
 * any thread.
 */
#include "auth/secret.h"

#include "auth/scram_secret.h"

static bool is_md5(struct slice s)
{
	if (s.len != SECRET_MD5_CHARS || memcmp(s.ptr, "md5", 3) != 0)
		return false;
	for (size_t i = 3; i < s.len; i++) {
		if (!memchr("0123456789abcdef", s.ptr[i], 16))
			return false;
	}
	return true;
}

enum secret_kind secret_classify(struct slice stored)
{
	struct scram_secret scram;

	if (stored.len == 0)
		return SECRET_NONE;
	if (is_md5(stored))
		return SECRET_MD5;
	return scram_secret_parse(stored, &scram) == WEIR_OK ? SECRET_SCRAM : SECRET_PLAIN;
}
