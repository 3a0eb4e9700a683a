/* SPDX-License-Identifier: PostgreSQL */
/*
 * The three files that say who may log in, and stored secrets: any bytes are
 * refused with a place and a reason, or read into something that can be asked.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/un.h>

#include "auth/hba.h"
#include "auth/ident.h"
#include "auth/scram_secret.h"
#include "auth/secret.h"
#include "auth/userlist.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { IDENT_TEXT_MAX = 256, IDENT_REPEATS_MAX = 6 };

static void check_refusal(enum weir_err err, const char *error)
{
	WEIR_ASSERT(err == WEIR_ERR_CONFIG && strncmp(error, "a file:", 7) == 0);
	WEIR_ASSERT(strlen(error) < USERLIST_ERROR_MAX);
}

static void check_userlist(struct slice text)
{
	char error[USERLIST_ERROR_MAX] = "";
	struct userlist *list = NULL;
	struct slice secret;
	enum weir_err err = userlist_parse(text, "a file", &list, error);

	if (err != WEIR_OK) {
		check_refusal(err, error);
		return;
	}
	if (userlist_find(list, slice_str("joe"), &secret) == WEIR_OK)
		WEIR_ASSERT(secret.len <= USERLIST_SECRET_MAX);
	(void)!userlist_find(list, text, &secret);
	(void)userlist_pick_shape(list, text.len);
	userlist_destroy(list);
}

static void match_one(const struct hba *hba, const void *peer, unsigned flags)
{
	const struct hba_request request = { .peer = peer,
		                                 .is_tls = flags & 1,
		                                 .is_replication = flags & 2,
		                                 .database = slice_str("app"),
		                                 .user = slice_str("joe") };
	struct hba_verdict v = hba_match(hba, &request);

	WEIR_ASSERT(v.line > 0 || v.method == CLIENT_METHOD_REJECT);
}

static void check_hba(struct slice text)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
	struct sockaddr_un local = { .sun_family = AF_UNIX };
	char error[HBA_ERROR_MAX] = "";
	struct hba *hba = NULL;
	enum weir_err err = hba_parse(text, "a file", &hba, error);

	if (err != WEIR_OK) {
		check_refusal(err, error);
		return;
	}
	for (unsigned flags = 0; flags < 4; flags++) {
		match_one(hba, &v4, flags);
		match_one(hba, &v6, flags);
		match_one(hba, &local, flags);
	}
	hba_destroy(hba);
}

/*
 * The C library's regular expressions take time and memory without a bound for repeats of repeats;
 * the file is the operator's own.
 */
static bool has_many_repeats(struct slice text)
{
	unsigned n = 0;

	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] == '{')
			return true;
		n += text.ptr[i] == '+' || text.ptr[i] == '*' || text.ptr[i] == '?';
	}
	return n > IDENT_REPEATS_MAX;
}

static void check_ident(struct slice text)
{
	char error[IDENT_ERROR_MAX] = "";
	struct ident *ident = NULL;
	enum weir_err err;

	if (text.len > IDENT_TEXT_MAX || has_many_repeats(text))
		return;
	err = ident_parse(text, "a file", &ident, error);
	if (err != WEIR_OK) {
		check_refusal(err, error);
		return;
	}
	(void)ident_allows(ident, "map", "joe@example.org", slice_str("joe"));
	(void)ident_allows(ident, "map", "", slice_str(""));
	WEIR_ASSERT(ident_allows(ident, "", "joe", slice_str("joe")));
	WEIR_ASSERT(!ident_allows(ident, "", "joe", slice_str("ann")));
	ident_destroy(ident);
}

static void check_secret(struct slice text)
{
	enum secret_kind kind = secret_classify(text);
	struct scram_secret secret;
	bool is_scram = scram_secret_parse(text, &secret) == WEIR_OK;

	WEIR_ASSERT((kind == SECRET_NONE) == (text.len == 0));
	WEIR_ASSERT((kind == SECRET_SCRAM) == is_scram);
	if (is_scram)
		WEIR_ASSERT(secret.iterations > 0 && secret.salt_len <= SCRAM_SALT_MAX_BYTES);
	WEIR_ASSERT(kind != SECRET_MD5 || text.len == SECRET_MD5_CHARS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_of(data, size);

	check_userlist(text);
	check_hba(text);
	check_ident(text);
	check_secret(text);
	return 0;
}
