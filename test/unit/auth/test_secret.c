/* SPDX-License-Identifier: PostgreSQL */
/* Kinds of stored secrets, and the md5 method. */
#include <criterion/criterion.h>

#include "auth/md5.h"
#include "auth/scram_secret.h"
#include "auth/secret.h"

/* Password "pencil", salt and iterations of RFC 7677. */
#define PENCIL                                     \
	"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$" \
	"WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

Test(secret, kinds)
{
	cr_assert_eq(secret_classify(slice_str("")), SECRET_NONE);
	cr_assert_eq(secret_classify(slice_str("hunter2")), SECRET_PLAIN);
	cr_assert_eq(secret_classify(slice_str("md5")), SECRET_PLAIN);
	cr_assert_eq(secret_classify(slice_str("md50123456789abcdef0123456789abcdef")), SECRET_MD5);
	cr_assert_eq(secret_classify(slice_str("md50123456789abcdef0123456789abcdeg")), SECRET_PLAIN);
	cr_assert_eq(secret_classify(slice_str("md50123456789abcdef0123456789abcde")), SECRET_PLAIN);
	cr_assert_eq(secret_classify(slice_str(PENCIL)), SECRET_SCRAM);
	cr_assert_eq(secret_classify(slice_str("SCRAM-SHA-256$")), SECRET_PLAIN);
}

Test(secret, scram_text_malformed)
{
	static const char *const cases[] = {
		"",
		"SCRAM-SHA-1$4096:W22ZaJ0SNY7soEsUEjb6gQ==$a:b",
		"SCRAM-SHA-256$0:W22ZaJ0SNY7soEsUEjb6gQ==$"
		"WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
		"SCRAM-SHA-256$99999999999:W22ZaJ0SNY7soEsUEjb6gQ==$"
		"WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
		"SCRAM-SHA-256$4096:$"
		"WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
		"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$Zm8=:"
		"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
		PENCIL "x",
		PENCIL ":",
	};
	struct scram_secret s;

	for (size_t i = 0; i < WEIR_COUNTOF(cases); i++)
		cr_assert_eq(scram_secret_parse(slice_str(cases[i]), &s), WEIR_ERR_PROTOCOL, "case %zu", i);
}

Test(secret, scram_text_matches_its_password_only)
{
	struct scram_secret s, again;

	cr_assert_eq(scram_secret_parse(slice_str(PENCIL), &s), WEIR_OK);
	cr_assert(s.iterations == 4096 && s.salt_len == 16);
	cr_assert(scram_secret_matches(&s, slice_str("pencil"), NULL));
	cr_assert_not(scram_secret_matches(&s, slice_str("pencil "), NULL));
	cr_assert_not(scram_secret_matches(&s, slice_str(""), NULL));
	cr_assert_eq(
		scram_secret_derive(&again, slice_str("pencil"), slice_of(s.salt, s.salt_len), 4096),
		WEIR_OK);
	cr_assert_eq(memcmp(again.server_key, s.server_key, SCRAM_KEY_BYTES), 0);
	s.iterations = SCRAM_ITERATIONS_MAX + 1;
	cr_assert_not(scram_secret_matches(&s, slice_str("pencil"), NULL));
}

/* Both computed by PostgreSQL's rule with md5sum. */
Test(md5, stored_form_and_answer)
{
	char secret[SECRET_MD5_CHARS], answer[SECRET_MD5_CHARS];
	const uint8_t salt[] = { 1, 2, 3, 4 };

	cr_assert_eq(md5_secret(slice_str("joe"), slice_str("pencil"), secret), WEIR_OK);
	cr_assert(slice_is(slice_of(secret, sizeof(secret)), "md54571bc2e04d92926b0cb2bdc83773286"));
	cr_assert_eq(md5_answer(secret, salt, answer), WEIR_OK);
	cr_assert(slice_is(slice_of(answer, sizeof(answer)), "md522bf57da1d39c1b1828b294d27d01dc3"));
	cr_assert(md5_check(secret, salt, slice_of(answer, sizeof(answer))));
	cr_assert_not(md5_check(secret, salt, slice_of(answer, sizeof(answer) - 1)));
	cr_assert_not(md5_check(secret, salt, slice_of(secret, sizeof(secret))));
	cr_assert_not(md5_check(secret, salt, slice_str("")));
}
