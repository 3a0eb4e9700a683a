/* SPDX-License-Identifier: PostgreSQL */
/*
 * Log-in rules: which rule decides for which connection, and every form that
 * isn't supported is an error with its line, never a weaker rule.
 */
#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "auth/hba.h"

static char error[HBA_ERROR_MAX];

static struct hba *parse(const char *text)
{
	struct hba *hba = NULL;

	error[0] = '\0';
	if (hba_parse(slice_str(text), "hba.conf", &hba, error) != WEIR_OK)
		return NULL;
	return hba;
}

static const char *const method_texts[] = {
	[CLIENT_METHOD_TRUST] = "trust", [CLIENT_METHOD_REJECT] = "reject",
	[CLIENT_METHOD_PLAIN] = "plain", [CLIENT_METHOD_MD5] = "md5",
	[CLIENT_METHOD_SCRAM] = "scram-sha-256", [CLIENT_METHOD_CERT] = "cert",
	[CLIENT_METHOD_PEER] = "peer",
};

/* Who connects: "local" or an address, "+tls" and "+repl" behind it. */
static const char *verdict(const struct hba *hba, const char *from, const char *database,
                           const char *user)
{
	static char text[64];
	struct sockaddr_storage peer = { .ss_family = AF_UNIX };
	struct hba_request request = { .peer = (const struct sockaddr *)&peer,
		                           .is_tls = strstr(from, "+tls") != NULL,
		                           .is_replication = strstr(from, "+repl") != NULL,
		                           .database = slice_str(database),
		                           .user = slice_str(user) };
	struct hba_verdict v;
	char address[64];

	(void)snprintf(address, sizeof(address), "%.*s", (int)strcspn(from, "+"), from);
	if (inet_pton(AF_INET, address, &((struct sockaddr_in *)&peer)->sin_addr) == 1)
		peer.ss_family = AF_INET;
	else if (inet_pton(AF_INET6, address, &((struct sockaddr_in6 *)&peer)->sin6_addr) == 1)
		peer.ss_family = AF_INET6;
	else
		cr_assert_str_eq(address, "local");
	v = hba_match(hba, &request);
	(void)snprintf(text, sizeof(text), "%s@%u", method_texts[v.method], v.line);
	return text;
}

#define EXPECT(hba, from, database, user, expected) \
	cr_assert_str_eq(verdict(hba, from, database, user), expected)

Test(hba, the_first_rule_that_matches_decides)
{
	struct hba *hba = parse("# a comment\n"
	                        "host  shop  joe   10.0.0.0/8   trust\n"
	                        "host  shop  all   10.1.0.0/16  reject  # behind\n"
	                        "\n"
	                        "host  all   all   all          scram-sha-256\n");

	cr_assert(hba, "%s", error);
	EXPECT(hba, "10.1.2.3", "shop", "joe", "trust@2");
	EXPECT(hba, "10.1.2.3", "shop", "ann", "reject@3");
	EXPECT(hba, "10.2.2.3", "shop", "ann", "scram-sha-256@5");
	EXPECT(hba, "::1", "shop", "joe", "scram-sha-256@5");
	EXPECT(hba, "local", "shop", "joe", "reject@0");
	hba_destroy(hba);
}

Test(hba, types)
{
	struct hba *hba = parse("local all all md5\n"
	                        "hostssl all all all password\n"
	                        "hostnossl all all 127.0.0.1/32 trust\n");

	EXPECT(hba, "local", "d", "u", "md5@1");
	EXPECT(hba, "127.0.0.1+tls", "d", "u", "plain@2");
	EXPECT(hba, "127.0.0.1", "d", "u", "trust@3");
	EXPECT(hba, "127.0.0.2", "d", "u", "reject@0");
	hba_destroy(hba);
}

Test(hba, databases_and_users)
{
	struct hba *hba = parse("local a,b joe,ann trust\n"
	                        "local sameuser all md5\n"
	                        "local replication all password\n"
	                        "local \"all\" \"all\" trust\n"
	                        "local \"my db\" all trust\n");

	EXPECT(hba, "local", "a", "joe", "trust@1");
	EXPECT(hba, "local", "b", "ann", "trust@1");
	EXPECT(hba, "local", "b", "eve", "reject@0");
	EXPECT(hba, "local", "eve", "eve", "md5@2");
	EXPECT(hba, "local+repl", "a", "joe", "plain@3");
	EXPECT(hba, "local", "replication", "eve", "reject@0");
	EXPECT(hba, "local", "all", "all", "md5@2");
	EXPECT(hba, "local", "my db", "eve", "trust@5");
	hba_destroy(hba);
	hba = parse("local \"all\" \"all\" trust\n");
	EXPECT(hba, "local", "all", "all", "trust@1");
	EXPECT(hba, "local", "any", "all", "reject@0");
	EXPECT(hba, "local", "all", "any", "reject@0");
	hba_destroy(hba);
}

/* As PostgreSQL's tokenizer has it. */
Test(hba, quotes)
{
	struct hba *hba = parse("local \"a\"\"b\" all trust\n"
	                        "local c\"d e\"f all md5\n"
	                        "local sameu\"ser\" all password\n"
	                        "local \"same\"user all trust\n"
	                        "local \"\"\"\" all reject\n"
	                        "local \"\" all trust\n");

	cr_assert(hba, "%s", error);
	EXPECT(hba, "local", "a\"b", "u", "trust@1");
	EXPECT(hba, "local", "ab", "u", "reject@0");
	EXPECT(hba, "local", "cd ef", "u", "md5@2");
	EXPECT(hba, "local", "u", "u", "plain@3");
	EXPECT(hba, "local", "sameuser", "u", "trust@4");
	EXPECT(hba, "local", "\"", "u", "reject@5");
	EXPECT(hba, "local", "", "u", "trust@6");
	hba_destroy(hba);
}

Test(hba, a_line_that_begins_with_a_semicolon_is_a_comment)
{
	struct hba *hba = parse("; local all all trust\n\t;\nlocal ;a all md5\n");

	cr_assert(hba, "%s", error);
	EXPECT(hba, "local", "a", "u", "reject@0");
	EXPECT(hba, "local", ";a", "u", "md5@3");
	hba_destroy(hba);
}

Test(hba, all_databases_do_not_include_replication)
{
	struct hba *hba = parse("local all all trust\n");

	EXPECT(hba, "local", "d", "u", "trust@1");
	EXPECT(hba, "local+repl", "d", "u", "reject@0");
	hba_destroy(hba);
}

Test(hba, networks)
{
	struct hba *hba = parse("host all a 192.168.1.128/25 trust\n"
	                        "host all b 192.168.0.0 255.255.0.0 trust\n"
	                        "host all c 2001:db8::/33 trust\n"
	                        "host all d 0.0.0.0/0 trust\n"
	                        "host all e ::/0 trust\n"
	                        "host all f fe80::1 ffff:ffff:: trust\n");

	cr_assert(hba, "%s", error);
	EXPECT(hba, "192.168.1.127", "x", "a", "reject@0");
	EXPECT(hba, "192.168.1.128", "x", "a", "trust@1");
	EXPECT(hba, "192.168.200.1", "x", "b", "trust@2");
	EXPECT(hba, "192.169.0.1", "x", "b", "reject@0");
	EXPECT(hba, "2001:db8:7fff::1", "x", "c", "trust@3");
	EXPECT(hba, "2001:db8:8000::1", "x", "c", "reject@0");
	EXPECT(hba, "8.8.8.8", "x", "d", "trust@4");
	EXPECT(hba, "::1", "x", "d", "reject@0");
	EXPECT(hba, "::1", "x", "e", "trust@5");
	EXPECT(hba, "8.8.8.8", "x", "e", "reject@0");
	EXPECT(hba, "::ffff:8.8.8.8", "x", "d", "trust@4");
	EXPECT(hba, "fe80:0:1::", "x", "f", "trust@6");
	hba_destroy(hba);
}

Test(hba, what_is_not_supported_is_an_error_with_its_line)
{
	static const char *const cases[][2] = {
		{ "hostgssenc all all all trust", "hba.conf:1: type \"hostgssenc\" isn't supported" },
		{ "\nlocal samerole all trust", "hba.conf:2: \"samerole\" isn't supported" },
		{ "local @dbs all trust", "hba.conf:1: \"@dbs\" isn't supported" },
		{ "local all +staff trust", "hba.conf:1: \"+staff\" isn't supported" },
		{ "local all /^a trust", "hba.conf:1: \"/^a\" isn't supported" },
		{ "host all all samenet trust",
		  "hba.conf:1: \"samenet\" isn't an address; names aren't supported" },
		{ "host all all db.example trust",
		  "hba.conf:1: \"db.example\" isn't an address; names aren't supported" },
		{ "host all all 10.0.0.0/33 trust", "hba.conf:1: \"/33\" isn't a prefix length" },
		{ "host all all 10.0.0.0/x trust", "hba.conf:1: \"/x\" isn't a prefix length" },
		{ "host all all 10.0.0.0/-1 trust", "hba.conf:1: \"/-1\" isn't a prefix length" },
		{ "host all all 10.0.0.0 trust", "hba.conf:1: \"trust\" isn't a mask for that address" },
		{ "host all all 10.0.0.0 ffff:: trust",
		  "hba.conf:1: \"ffff::\" isn't a mask for that address" },
		{ "host all all all peer", "hba.conf:1: peer goes with local only" },
		{ "host all all all cert", "hba.conf:1: cert goes with hostssl only" },
		{ "local all all ident", "hba.conf:1: method \"ident\" isn't supported" },
		{ "local all all any", "hba.conf:1: method \"any\" isn't supported" },
		{ "local all all trust map=x", "hba.conf:1: map goes with cert and peer only" },
		{ "local all all peer map=", "hba.conf:1: option \"map\" isn't supported" },
		{ "local all all peer ldapurl=x", "hba.conf:1: option \"ldapurl\" isn't supported" },
		{ "host all all all trust clientcert=verify-full",
		  "hba.conf:1: clientcert goes with hostssl only" },
		{ "hostssl all all all cert clientcert=verify-ca",
		  "hba.conf:1: clientcert=verify-ca isn't supported here" },
		{ "hostssl all all all trust clientcert=1",
		  "hba.conf:1: clientcert=1 isn't supported here" },
		{ "local all all", "hba.conf:1: a method expected" },
		{ "local all", "hba.conf:1: a user expected" },
		{ "local", "hba.conf:1: a database expected" },
		{ "local ,a all trust", "hba.conf:1: type \"local\" isn't supported" },
		{ "local a,,b all trust", "hba.conf:1: a database expected" },
		{ "local all all trust ; c", "hba.conf:1: option \";\" isn't supported" },
		{ "host all all all, trust",
		  "hba.conf:1: \"all\" isn't an address; names aren't supported" },
		{ "local \"a all trust", "hba.conf:1: a quote isn't closed" },
	};

	for (size_t i = 0; i < WEIR_COUNTOF(cases); i++) {
		struct hba *hba = parse(cases[i][0]);

		cr_assert_null(hba, "case %zu", i);
		cr_assert_str_eq(error, cases[i][1]);
	}
}

Test(hba, long_words_are_refused)
{
	char text[4096];

	(void)memset(text, 'x', sizeof(text));
	(void)memcpy(text, "local ", 6);
	text[sizeof(text) - 1] = '\0';
	cr_assert_null(parse(text));
	cr_assert_str_eq(error, "hba.conf:1: a word is too long");
}

Test(hba, an_empty_file_lets_nobody_in)
{
	struct hba *hba = parse("");

	EXPECT(hba, "local", "d", "u", "reject@0");
	EXPECT(hba, "127.0.0.1", "d", "u", "reject@0");
	hba_destroy(hba);
	cr_assert_eq(hba_load("/nonexistent/hba.conf", &hba, error), WEIR_ERR_IO);
	cr_assert_str_eq(error, "/nonexistent/hba.conf: No such file or directory");
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	cr_assert(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

/* As PostgreSQL has it: beside the file that names them, comments and both kinds of separators. */
Test(hba, names_in_files)
{
	char folder[] = "/tmp/pgweir-hba-XXXXXX", path[4][64], text[256];
	static const char *const names[] = { "hba.conf", "dbs", "users", "none" };
	struct hba *hba = NULL;

	cr_assert(mkdtemp(folder));
	for (size_t i = 0; i < 4; i++)
		(void)snprintf(path[i], sizeof(path[i]), "%s/%s", folder, names[i]);
	write_file(path[1], "shop # and\r\n; these\n\"my db\",\nsameuser\n");
	write_file(path[2], "ann, joe\neve");
	write_file(path[3], "# nobody\n");
	(void)snprintf(text, sizeof(text), "local @dbs @%s,kim trust\nlocal all @none trust\n"
	               "local all \"@users\" md5\n", path[2]);
	write_file(path[0], text);
	cr_assert_eq(hba_load(path[0], &hba, error), WEIR_OK, "%s", error);
	EXPECT(hba, "local", "shop", "ann", "trust@1");
	EXPECT(hba, "local", "my db", "eve", "trust@1");
	EXPECT(hba, "local", "kim", "kim", "trust@1");
	EXPECT(hba, "local", "other", "joe", "reject@0");
	EXPECT(hba, "local", "shop", "bob", "reject@0");
	EXPECT(hba, "local", "shop", "@users", "md5@3");
	hba_destroy(hba);
	write_file(path[2], "ann\n\n@none @dbs\n");
	cr_assert_eq(hba_load(path[0], &hba, error), WEIR_OK, "%s", error);
	EXPECT(hba, "local", "shop", "my db", "trust@1");
	EXPECT(hba, "local", "shop", "joe", "reject@0");
	hba_destroy(hba);
	write_file(path[2], "ann\n\n@users\n");
	cr_assert_eq(hba_load(path[0], &hba, error), WEIR_ERR_CONFIG);
	(void)snprintf(text, sizeof(text), "%s:3: \"@users\" isn't supported", path[2]);
	cr_assert_str_eq(error, text);
	cr_assert_eq(unlink(path[1]), 0);
	cr_assert_eq(hba_load(path[0], &hba, error), WEIR_ERR_CONFIG);
	(void)snprintf(text, sizeof(text), "%s:1: %s: No such file or directory", path[0], path[1]);
	cr_assert_str_eq(error, text);
	cr_assert(unlink(path[0]) == 0 && unlink(path[2]) == 0 && unlink(path[3]) == 0 &&
	          rmdir(folder) == 0);
}

Test(hba, what_a_rule_demands_beside_its_method)
{
	struct hba *hba = parse("local all all peer map=ops\n"
	                        "hostssl all joe all cert map=\"my map\"\n"
	                        "hostssl all ann all md5 clientcert=verify-ca\n"
	                        "hostssl all all all scram-sha-256 clientcert=verify-full\n");
	struct sockaddr_in from = { .sin_family = AF_INET };
	struct sockaddr local = { .sa_family = AF_UNIX };
	struct hba_request request = { .peer = &local, .user = slice_str("joe") };
	struct hba_verdict v;

	cr_assert(hba, "%s", error);
	v = hba_match(hba, &request);
	cr_expect_str_eq(v.map, "ops");
	cr_expect_eq(v.client_cert, HBA_CLIENT_CERT_NONE);
	request = (struct hba_request){ .peer = (const struct sockaddr *)&from, .is_tls = true };
	request.user = slice_str("joe");
	v = hba_match(hba, &request);
	cr_expect_eq(v.method, CLIENT_METHOD_CERT);
	cr_expect_str_eq(v.map, "my map");
	cr_expect_eq(v.client_cert, HBA_CLIENT_CERT_VERIFY_FULL);
	request.user = slice_str("ann");
	v = hba_match(hba, &request);
	cr_expect_eq(v.client_cert, HBA_CLIENT_CERT_VERIFY_CA);
	cr_expect_str_eq(v.map, "");
	request.user = slice_str("eve");
	cr_expect_eq(hba_match(hba, &request).client_cert, HBA_CLIENT_CERT_VERIFY_FULL);
	hba_destroy(hba);
}
