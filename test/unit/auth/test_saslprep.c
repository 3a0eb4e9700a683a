/* SPDX-License-Identifier: PostgreSQL */
/* SASLprep: the examples of RFC 4013, and what is taken as it is. */
#include "auth/saslprep.h"

#include "auth/scram_secret.h"

#include <criterion/criterion.h>

#include <string.h>

static void expect(const char *password, const char *prepared)
{
	struct saslprep p;

	saslprep_init(&p, slice_str(password));
	cr_assert(slice_is(p.text, prepared), "%s: %.*s", password, (int)p.text.len, p.text.ptr);
	saslprep_fini(&p);
}

Test(saslprep, examples_of_the_standard)
{
	expect("I\xc2\xadX", "IX"); /* a soft hyphen is nothing */
	expect("user", "user");
	expect("USER", "USER");
	expect("\xc2\xaa", "a");
	expect("\xe2\x85\xa8", "IX"); /* roman nine */
	expect("a\xc2\xa0z", "a z");
	expect("cafe\xcc\x81", "caf\xc3\xa9");
}

Test(saslprep, what_it_refuses_is_taken_as_it_is)
{
	expect("\x07", "\x07");
	expect("foo\x07\xc3\xa9", "foo\x07\xc3\xa9");
	expect("\xd8\xa7" "1", "\xd8\xa7" "1"); /* begins right to left, ends otherwise */
	expect("\xff\xfe", "\xff\xfe");
	expect("\xc3", "\xc3");
	expect("\xc2\xad", "\xc2\xad"); /* nothing would be left */
	expect("\xe2\x82\xba", "\xe2\x82\xba"); /* a sign of later Unicode */
	expect("", "");
}

Test(saslprep, growth_and_bounds)
{
	static char text[SASLPREP_MAX_BYTES + 4];
	struct saslprep p;

	for (size_t at = 0; at + 3 <= SASLPREP_MAX_BYTES; at += 3)
		memcpy(text + at, "\xef\xb7\xba", 3); /* what grows most */
	saslprep_init(&p, slice_str(text));
	cr_assert_eq(p.text.len, strlen(text) * 11);
	saslprep_fini(&p);
	memcpy(text + SASLPREP_MAX_BYTES - 1, "\xef\xb7\xba", 3);
	expect(text, text);
}

Test(saslprep, equal_passwords_have_equal_keys)
{
	struct scram_secret secret;
	struct slice salt = slice_str("0123456789abcdef");

	cr_assert_eq(scram_secret_derive(&secret, slice_str("\xe2\x85\xa8"), salt, 5), WEIR_OK);
	cr_assert(scram_secret_matches(&secret, slice_str("IX"), NULL));
	cr_assert(scram_secret_matches(&secret, slice_str("I\xc2\xadX"), NULL));
	cr_assert_not(scram_secret_matches(&secret, slice_str("ix"), NULL));
}
