/* SPDX-License-Identifier: PostgreSQL */
/* userlist.txt: what is read, what is refused, and that secrets stay out of errors. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <unistd.h>

#include "auth/userlist.h"

static char error[USERLIST_ERROR_MAX];

static struct userlist *parse(const char *text)
{
	struct userlist *list = NULL;

	error[0] = '\0';
	if (userlist_parse(slice_str(text), "users.txt", &list, error) != WEIR_OK)
		return NULL;
	return list;
}

static void expect(const struct userlist *list, const char *user, const char *secret)
{
	struct slice found = { NULL, 0 };
	enum weir_err err = userlist_find(list, slice_str(user), &found);

	cr_assert_eq(err, secret ? WEIR_OK : WEIR_ERR_NOT_FOUND, "%s", user);
	cr_assert(!secret || slice_is(found, secret), "%s", user);
}

Test(userlist, lines_quotes_and_comments)
{
	struct userlist *list = parse("; a comment\n"
	                              "# another\n"
	                              "\n"
	                              "\"joe\" \"pencil\"\n"
	                              "  \"q\"\"uote\"\t\"a\"\"b\"\"\"   \"ignored\" text\r\n"
	                              "\"empty\" \"\"\n"
	                              "\"colon\" : \"c\"\n"
	                              "\"comma\",\"d\"\n"
	                              "\"\" \"nobody's\"\n"
	                              "\"last\" \"x\"");

	cr_assert(list, "%s", error);
	expect(list, "joe", "pencil");
	expect(list, "q\"uote", "a\"b\"");
	expect(list, "empty", "");
	expect(list, "colon", "c");
	expect(list, "comma", "d");
	expect(list, "last", "x");
	expect(list, "Joe", NULL);
	expect(list, "", NULL);
	userlist_destroy(list);
}

#define NAME_OF_63 "012345678901234567890123456789012345678901234567890123456789012"

Test(userlist, a_long_name_is_cut_as_a_clients_is)
{
	struct userlist *list = parse("\"" NAME_OF_63 "3456\" \"x\"\n\"joe\" \"y\"\n");

	cr_assert(list, "%s", error);
	expect(list, NAME_OF_63, "x");
	expect(list, "joe", "y");
	userlist_destroy(list);
}

Test(userlist, the_last_line_of_a_user_counts)
{
	struct userlist *list = parse("\"joe\" \"old\"\n\"ann\" \"a\"\n\"joe\" \"new\"\n");

	cr_assert(list);
	expect(list, "joe", "new");
	userlist_destroy(list);
}

Test(userlist, errors_name_the_line_and_no_secret)
{
	static const char *const cases[][2] = {
		{ "joe pencil", "users.txt:1: user name in double quotes expected" },
		{ "\"a\" \"b\"\n\"joe\n", "users.txt:2: user name has no closing quote" },
		{ "\"joe\"\n", "users.txt:1: secret in double quotes expected" },
		{ "\"joe\" pencil\n", "users.txt:1: secret in double quotes expected" },
		{ "\n\n\"joe\" \"pencil\n", "users.txt:3: secret has no closing quote" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_assert_null(parse(cases[i][0]));
		cr_assert_str_eq(error, cases[i][1]);
		cr_assert_null(strstr(error, "pencil"));
	}
}

Test(userlist, secrets_have_a_bound)
{
	char text[USERLIST_SECRET_MAX + 32];
	struct userlist *list;
	int n = snprintf(text, sizeof(text), "\"u\" \"");

	memset(text + n, 'x', USERLIST_SECRET_MAX);
	(void)snprintf(text + n + USERLIST_SECRET_MAX, 8, "\"");
	list = parse(text);
	cr_assert(list, "%s", error);
	userlist_destroy(list);
	(void)snprintf(text + n + USERLIST_SECRET_MAX, 8, "x\"");
	cr_assert_null(parse(text));
	cr_assert_str_eq(error, "users.txt:1: secret is longer than 65530 bytes");
}

Test(userlist, strangers_look_like_its_users)
{
	struct userlist *list = parse("");
	unsigned kinds[SECRET_SCRAM + 1] = { 0 };

	cr_assert_eq(userlist_pick_shape(list, 7).kind, SECRET_NONE);
	userlist_destroy(list);
	list = parse("\"a\" \"x\"\n\"b\" \"y\"\n\"none\" \"\"\n"
	             "\"c\" \"md50123456789abcdef0123456789abcdef\"\n");
	for (uint64_t number = 0; number < 30; number++)
		kinds[userlist_pick_shape(list, number).kind]++;
	cr_assert(kinds[SECRET_PLAIN] == 20 && kinds[SECRET_MD5] == 10);
	userlist_destroy(list);
	list = parse("\"a\" \"x\"\n\"a\" \"md50123456789abcdef0123456789abcdef\"\n");
	cr_assert_eq(userlist_pick_shape(list, 0).kind, SECRET_MD5);
	cr_assert_eq(userlist_pick_shape(list, 1).kind, SECRET_MD5);
	userlist_destroy(list);
	cr_assert_eq(userlist_pick_shape(NULL, 1).kind, SECRET_NONE);
}

Test(userlist, files)
{
	char path[] = "/tmp/pgweir-test-XXXXXX";
	struct userlist *list = NULL;
	int fd = mkstemp(path);

	cr_assert(fd >= 0);
	cr_assert_eq(write(fd, "\"joe\" \"p\"\n", 10), 10);
	close(fd);
	cr_assert_eq(userlist_load(path, &list, error), WEIR_OK);
	expect(list, "joe", "p");
	userlist_destroy(list);
	unlink(path);
	cr_assert_eq(userlist_load(path, &list, error), WEIR_ERR_IO);
	cr_assert(strstr(error, path) && strstr(error, "No such file"));
}

Test(userlist, many_users)
{
	static char text[64 * 2000];
	struct userlist *list;
	size_t n = 0;

	for (int i = 0; i < 2000; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "\"user%d\" \"secret%d\"\n", i, i);
	list = parse(text);
	expect(list, "user1999", "secret1999");
	expect(list, "user2000", NULL);
	userlist_destroy(list);
}

Test(userlist, prepared_secrets_stand_in_for_plain_ones)
{
	const struct login_salt_key key = { "a key for the tests" };
	struct userlist *list = parse("\"joe\" \"pencil\"\n"
	                              "\"ann\" \"md50123456789abcdef0123456789abcdef\"\n");
	struct userlist *next = parse("\"joe\" \"pencil\"\n\"eve\" \"x\"\n");
	struct userlist *changed = parse("\"joe\" \"crayon\"\n");
	const struct scram_secret *joe;

	cr_assert_not(userlist_is_prepared(list));
	userlist_prepare(list, NULL, &key, 7);
	cr_assert(userlist_is_prepared(list));
	joe = userlist_prepared(list, slice_str("joe"));
	cr_assert(joe && joe->iterations == 7);
	cr_assert(scram_secret_matches(joe, slice_str("pencil"), NULL));
	cr_assert_null(userlist_prepared(list, slice_str("ann")));
	cr_assert_null(userlist_prepared(list, slice_str("eve")));
	userlist_prepare(next, list, &key, 7);
	cr_assert_eq(memcmp(userlist_prepared(next, slice_str("joe")), joe, sizeof(*joe)), 0);
	cr_assert(userlist_prepared(next, slice_str("eve")));
	userlist_prepare(changed, list, &key, 7);
	joe = userlist_prepared(changed, slice_str("joe"));
	cr_assert(scram_secret_matches(joe, slice_str("crayon"), NULL));
	cr_assert_not(scram_secret_matches(joe, slice_str("pencil"), NULL));
	userlist_destroy(list);
	userlist_destroy(next);
	userlist_destroy(changed);
}

Test(userlist, a_list_that_is_too_long_is_not_prepared)
{
	static char text[64 * (USERLIST_PREPARE_MAX + 1)];
	const struct login_salt_key key = { "a key for the tests" };
	struct userlist *list;
	size_t n = 0;

	for (int i = 0; i <= USERLIST_PREPARE_MAX; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "\"user%d\" \"p\"\n", i);
	list = parse(text);
	userlist_prepare(list, NULL, &key, 1);
	cr_assert_not(userlist_is_prepared(list));
	cr_assert_null(userlist_prepared(list, slice_str("user1")));
	userlist_destroy(list);
}
