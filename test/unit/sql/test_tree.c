/* SPDX-License-Identifier: PostgreSQL */
/*
 * The JSON reader: values, escapes, and every way to be malformed.
 */
#include <criterion/criterion.h>

#include "base/mem.h"
#include "sql/tree.h"

static struct arena arena;

static void setup(void)
{
	arena_init(&arena, 4096);
}

static void teardown(void)
{
	arena_fini(&arena);
}

TestSuite(tree, .init = setup, .fini = teardown);

Test(tree, members_and_values)
{
	char json[] = "{\"a\":1,\"b\":[{\"c\":\"x\"},-2.5],\"d\":true,\"e\":false,\"f\":null}";
	struct tree_node *root = tree_read(&arena, json);

	cr_assert_not_null(root);
	cr_expect_str_eq(tree_text(root, "a"), "1");
	cr_expect_str_eq(tree_text(tree_member(root, "b")->child, "c"), "x");
	cr_expect_str_eq(tree_member(root, "b")->child->next->text, "-2.5");
	cr_expect(tree_flag(root, "d"));
	cr_expect_not(tree_flag(root, "e"));
	cr_expect_null(tree_text(root, "f"));
	cr_expect_null(tree_member(root, "g"));
	cr_expect_null(tree_member(tree_member(root, "a"), "x"));
}

Test(tree, strings_are_unescaped)
{
	char json[] = "{\"a\":\"q\\\"b\\\\s\\/n\\nt\\tu\\u003c\\u0001\xc3\xa9\"}";
	struct tree_node *root = tree_read(&arena, json);

	cr_assert_not_null(root);
	cr_expect_str_eq(tree_text(root, "a"), "q\"b\\s/n\nt\tu<\x01\xc3\xa9");
}

Test(tree, locations_belong_to_their_object)
{
	char json[] = "{\"A\":{\"x\":1,\"location\":42},\"B\":{\"location\":-1}}";
	struct tree_node *root = tree_read(&arena, json);

	cr_assert_not_null(root);
	cr_expect_eq(tree_member(root, "A")->location, 42);
	cr_expect_eq(tree_member(root, "B")->location, 0);
	cr_expect_null(tree_member(tree_member(root, "A"), "location"));
}

Test(tree, malformed_text_is_refused)
{
	static const char *const bad[] = {
		"",
		"[]",
		"{",
		"{\"a\"",
		"{\"a\":",
		"{\"a\":\"",
		"{\"a\":\"\\",
		"{\"a\":\"\\x\"}",
		"{\"a\":\"\\u00",
		"{\"a\":\"\\u0100\"}",
		"{\"a\":tru}",
		"{\"a\":[1}",
		"{a:1}",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char *json = mem_strdup(bad[i]);

		cr_expect_null(tree_read(&arena, json), "%s", bad[i]);
		mem_free(json);
	}
}

static bool reads_nested(size_t depth)
{
	char *json = mem_alloc(depth * 12 + 16), *p = json;
	bool ok;

	for (size_t i = 0; i < depth; i++, p += 5)
		memcpy(p, "{\"a\":", 5);
	*p++ = '1';
	for (size_t i = 0; i < depth; i++)
		*p++ = '}';
	*p = '\0';
	ok = tree_read(&arena, json) != NULL;
	mem_free(json);
	return ok;
}

Test(tree, depth_is_bounded)
{
	cr_expect(reads_nested(TREE_DEPTH_MAX));
	cr_expect_not(reads_nested(TREE_DEPTH_MAX + 1));
	cr_expect_not(reads_nested(200000));
}
