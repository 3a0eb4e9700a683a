/* SPDX-License-Identifier: PostgreSQL */
/*
 * Patroni's /cluster document by libbson's JSON reader, see patroni_doc.h. The
 * one file that knows the names in it:
 *
 *   {"members": [{"name", "role", "state", "host", "port", "timeline", "api_url",
 *                 "tags": {"noloadbalance", "nofailover", ...}}, ...], "pause": true}
 *
 * Usable states are running (a leader, and replicas before Patroni 3.0.3) and
 * streaming or in archive recovery (replicas since then).
 */
#include "tier/patroni_doc.h"

#include <stdio.h>
#include <string.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion" /* its inline functions */
#include <bson/bson.h>
#pragma GCC diagnostic pop

static bool find(const bson_t *doc, const char *name, bson_iter_t *it)
{
	return bson_iter_init_find(it, doc, name);
}

/* A text that fits with its NUL; false otherwise. */
static bool get_text(const bson_t *doc, const char *name, char *out, size_t size)
{
	bson_iter_t it;
	const char *text;
	uint32_t len;

	out[0] = '\0';
	if (!find(doc, name, &it) || !BSON_ITER_HOLDS_UTF8(&it))
		return false;
	text = bson_iter_utf8(&it, &len);
	if (len == 0 || len >= size || memchr(text, '\0', len) != NULL)
		return false;
	memcpy(out, text, len);
	out[len] = '\0';
	return true;
}

static int64_t get_number(const bson_t *doc, const char *name, int64_t missing)
{
	bson_iter_t it;

	if (!find(doc, name, &it) || !BSON_ITER_HOLDS_INT(&it))
		return missing;
	return bson_iter_as_int64(&it);
}

static bool get_flag(const bson_t *doc, const char *name)
{
	bson_iter_t it;

	return find(doc, name, &it) && bson_iter_as_bool(&it);
}

static bool get_child(const bson_t *doc, const char *name, bson_t *child)
{
	const uint8_t *data;
	bson_iter_t it;
	uint32_t len;

	if (!find(doc, name, &it))
		return false;
	if (BSON_ITER_HOLDS_DOCUMENT(&it))
		bson_iter_document(&it, &len, &data);
	else if (BSON_ITER_HOLDS_ARRAY(&it))
		bson_iter_array(&it, &len, &data);
	else
		return false;
	return bson_init_static(child, data, len);
}

static bool is_one_of(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (strcmp(text, *words) == 0)
			return true;
	return false;
}

static void read_role_and_state(const bson_t *member, struct member_claim *claim)
{
	static const char *const leaders[] = { "leader", "master", "primary", NULL };
	static const char *const usable[] = { "running", "streaming", "in archive recovery", NULL };
	char text[64];

	claim->is_leader = get_text(member, "role", text, sizeof text) && is_one_of(text, leaders);
	claim->is_running = get_text(member, "state", text, sizeof text) && is_one_of(text, usable);
}

static bool read_member(const bson_t *member, struct member_claim *claim, char *url)
{
	int64_t port = get_number(member, "port", 0);
	int64_t timeline = get_number(member, "timeline", 0);
	char api[PATRONI_URL_MAX - sizeof "/cluster"];
	char *path;
	bson_t tags;

	memset(claim, 0, sizeof *claim);
	if (!get_text(member, "name", claim->name, sizeof claim->name) ||
	    !get_text(member, "host", claim->host, sizeof claim->host) || port < 1 || port > UINT16_MAX)
		return false;
	claim->port = (uint16_t)port;
	claim->timeline = timeline > 0 && timeline <= UINT32_MAX ? (uint32_t)timeline : 0;
	claim->weight = 1;
	if (get_child(member, "tags", &tags) && get_flag(&tags, "noloadbalance"))
		claim->weight = 0;
	read_role_and_state(member, claim);

	url[0] = '\0';
	if (get_text(member, "api_url", api, sizeof api) &&
	    (strncmp(api, "http://", 7) == 0 || strncmp(api, "https://", 8) == 0)) {
		path = strchr(strstr(api, "://") + 3, '/');
		snprintf(url, PATRONI_URL_MAX, "%.*s/cluster",
			 path ? (int)(path - api) : (int)strlen(api), api);
	}
	return true;
}

static void read_members(const bson_t *members, struct patroni_doc *out)
{
	struct cluster_doc *cluster = &out->cluster;
	bson_iter_t it;

	if (!bson_iter_init(&it, members))
		return;
	while (cluster->count < TOPOLOGY_NODES_MAX && bson_iter_next(&it)) {
		const uint8_t *data;
		bson_t member;
		uint32_t len;

		if (!BSON_ITER_HOLDS_DOCUMENT(&it))
			continue;
		bson_iter_document(&it, &len, &data);
		if (bson_init_static(&member, data, len) &&
		    read_member(&member, &cluster->members[cluster->count],
				out->urls[cluster->count]))
			cluster->count++;
	}
}

enum weir_err patroni_doc_parse(struct slice body, struct patroni_doc *out)
{
	enum weir_err err = WEIR_ERR_PROTOCOL;
	bson_t members;
	bson_t *doc;

	memset(out, 0, sizeof *out);
	if (body.len == 0 || body.len > PATRONI_BODY_MAX)
		return WEIR_ERR_PROTOCOL;
	doc = bson_new_from_json((const uint8_t *)body.ptr, (ssize_t)body.len, NULL);
	if (doc == NULL)
		return WEIR_ERR_PROTOCOL;
	if (get_child(doc, "members", &members)) {
		read_members(&members, out);
		out->cluster.is_paused = get_flag(doc, "pause");
		err = out->cluster.count ? WEIR_OK : WEIR_ERR_PROTOCOL;
	}
	bson_destroy(doc);
	return err;
}
