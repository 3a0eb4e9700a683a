/* SPDX-License-Identifier: PostgreSQL */
/*
 * Patroni's document: the real shape, and everything that isn't.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tier/patroni_doc.h"

static struct patroni_doc doc; /* large */

static const char good[] =
	"{\"members\": [{\"name\": \"pg1\", \"role\": \"leader\", \"state\": \"running\","
	" \"api_url\": \"http://10.0.0.1:8008/patroni\", \"host\": \"10.0.0.1\", \"port\": 5432,"
	" \"timeline\": 3},"
	"{\"name\": \"pg2\", \"role\": \"replica\", \"state\": \"streaming\","
	" \"api_url\": \"https://10.0.0.2:8008/patroni\", \"host\": \"10.0.0.2\", \"port\": 5433,"
	" \"timeline\": 3, \"lag\": 0, \"tags\": {\"noloadbalance\": true}},"
	"{\"name\": \"pg3\", \"role\": \"sync_standby\", \"state\": \"starting\","
	" \"host\": \"10.0.0.3\", \"port\": 5432, \"lag\": \"unknown\"}], \"pause\": true}";

Test(patroni_doc, reads_members_roles_states_and_tags)
{
	const struct member_claim *m = doc.cluster.members;

	cr_assert_eq(patroni_doc_parse(slice_str(good), &doc), WEIR_OK);
	cr_assert_eq(doc.cluster.count, 3);
	cr_assert(doc.cluster.is_paused);
	cr_assert_str_eq(m[0].name, "pg1");
	cr_assert_str_eq(m[0].host, "10.0.0.1");
	cr_assert(m[0].is_leader && m[0].is_running && m[0].timeline == 3 && m[0].weight == 1);
	cr_assert(!m[1].is_leader && m[1].is_running && m[1].port == 5433 && m[1].weight == 0);
	cr_assert(!m[2].is_leader && !m[2].is_running && m[2].timeline == 0);
	cr_assert_str_eq(doc.urls[0], "http://10.0.0.1:8008/cluster");
	cr_assert_str_eq(doc.urls[1], "https://10.0.0.2:8008/cluster");
	cr_assert_str_eq(doc.urls[2], "");
}

Test(patroni_doc, a_standby_cluster_has_no_leader)
{
	cr_assert_eq(
		patroni_doc_parse(slice_str("{\"members\":[{\"name\":\"a\",\"host\":\"h\",\"port\":1,"
	                                "\"role\":\"standby_leader\",\"state\":\"running\"}]}"),
	                      &doc),
		WEIR_OK);
	cr_assert_not(doc.cluster.members[0].is_leader);
}

Test(patroni_doc, refuses_what_is_no_document)
{
	static const char *const texts[] = {
		"",
		"null",
		"[]",
		"{}",
		"{",
		"{\"members\": 7}",
		"{\"members\": []}",
		"not json",
		"{\"members\": [1, \"x\", null, {}]}",
		"{\"members\": [{\"name\": \"a\"}]}",
		"\xff\xfe",
		"{\"members\": [[]]}",
	};

	for (size_t i = 0; i < WEIR_COUNTOF(texts); i++)
		cr_assert_eq(patroni_doc_parse(slice_str(texts[i]), &doc), WEIR_ERR_PROTOCOL, "%s",
		             texts[i]);
}

Test(patroni_doc, drops_members_with_impossible_fields)
{
	static const char *const members[] = {
		"\"name\":\"a\",\"host\":\"h\",\"port\":0",
		"\"name\":\"a\",\"host\":\"h\",\"port\":65536",
		"\"name\":\"a\",\"host\":\"h\",\"port\":-1",
		"\"name\":\"a\",\"host\":\"h\",\"port\":\"5432\"",
		"\"name\":\"a\",\"host\":7,\"port\":5432",
		"\"name\":\"\",\"host\":\"h\",\"port\":5432",
		"\"name\":\"a\\u0000b\",\"host\":\"h\",\"port\":5432",
	};
	char text[256];

	for (size_t i = 0; i < WEIR_COUNTOF(members); i++) {
		snprintf(text, sizeof text, "{\"members\":[{%s}]}", members[i]);
		cr_assert_eq(patroni_doc_parse(slice_str(text), &doc), WEIR_ERR_PROTOCOL, "%s", text);
	}
}

Test(patroni_doc, names_and_members_are_bounded)
{
	static char text[64 * 1024];
	size_t n = (size_t)snprintf(text, sizeof text,
	                            "{\"members\":[{\"name\":\"%0300d\",\"host\":\"h\",\"port\":1}", 0);

	for (int i = 0; i < 100; i++)
		n += (size_t)snprintf(
			text + n, sizeof text - n,
			",{\"name\":\"n%d\",\"host\":\"h\",\"port\":1,\"timeline\":99999999999}", i);
	snprintf(text + n, sizeof text - n, "]}");
	cr_assert_eq(patroni_doc_parse(slice_str(text), &doc), WEIR_OK);
	cr_assert_eq(doc.cluster.count, TOPOLOGY_NODES_MAX);
	cr_assert_str_eq(doc.cluster.members[0].name, "n0",
	                 "a name that is too long isn't cut to another one");
	cr_assert_eq(doc.cluster.members[0].timeline, 0);
}

Test(patroni_doc, every_prefix_of_a_document_is_harmless)
{
	for (size_t len = 0; len < sizeof good - 1; len++)
		cr_assert_neq(patroni_doc_parse(slice_of(good, len), &doc), WEIR_OK);
}
