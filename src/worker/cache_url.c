/* SPDX-License-Identifier: PostgreSQL */
/*
 * See cache_url.h.
 */
#include "worker/cache_url.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "cache/cache.h"
#include "config/config.h"
#include "worker/control_priv.h"

enum { REDIS_PORT = 6379, ADMISSION_WINDOW_MS = 10000 };

static bool copy_part(char out[CACHE_URL_PART_MAX], const char *from, size_t len)
{
	if (len >= CACHE_URL_PART_MAX)
		return false;
	memcpy(out, from, len);
	out[len] = '\0';
	return true;
}

static bool parse_login(const char *text, size_t len, struct cache_url *out)
{
	const char *colon = memchr(text, ':', len);
	size_t user = colon ? (size_t)(colon - text) : len;

	if (!copy_part(out->user, text, user))
		return false;
	return !colon || copy_part(out->password, colon + 1, len - user - 1);
}

bool cache_url_parse(const char *url, struct cache_url *out)
{
	static const char scheme[] = "redis://";
	const char *at, *end, *colon;

	memset(out, 0, sizeof *out);
	out->port = REDIS_PORT;
	if (strncmp(url, scheme, sizeof scheme - 1) != 0)
		return false;
	url += sizeof scheme - 1;
	end = url + strcspn(url, "/?");
	at = memrchr(url, '@', (size_t)(end - url));
	if (at && !parse_login(url, (size_t)(at - url), out))
		return false;
	if (at)
		url = at + 1;
	colon = memrchr(url, ':', (size_t)(end - url));
	if (colon) {
		unsigned long port = strtoul(colon + 1, NULL, 10);

		if (port == 0 || port > UINT16_MAX)
			return false;
		out->port = (uint16_t)port;
		end = colon;
	}
	return end > url && copy_part(out->host, url, (size_t)(end - url));
}

struct cache *control_create_cache(const struct config *config)
{
	const struct config_globals *g = &config->global;
	struct cache_url url;
	bool has_redis = *g->cache_redis != '\0';
	struct cache_options o = {
		.local_bytes = g->cache_bytes,
		.entry_bytes = g->cache_entry_max_bytes,
		.ttl_ms = (uint32_t)(g->cache_ttl_us / 1000),
		.min_hits = (uint32_t)g->cache_min_hits,
		.admission_window_ms = ADMISSION_WINDOW_MS,
		.redis_timeout_ms = (uint32_t)(g->cache_redis_timeout_us / 1000),
		.redis_prefix = g->cache_redis_prefix,
	};
	struct cache *cache;

	if (has_redis && !cache_url_parse(g->cache_redis, &url)) {
		log_error("cache_redis_malformed", "working=local_only");
		has_redis = false;
	}
	if (has_redis) {
		o.redis_host = url.host;
		o.redis_port = url.port;
		o.redis_user = *url.user ? url.user : NULL;
		o.redis_password = *url.password ? url.password : NULL;
	}
	cache = cache_create(&o);
	mem_wipe(&url, sizeof url);
	return cache;
}

void control_void_cache(struct control *c, const char *cluster, uint32_t timeline)
{
	struct cluster_timeline *t = NULL;

	list_foreach(&c->timelines, n) {
		struct cluster_timeline *known = list_entry(n, struct cluster_timeline, node);

		if (strcmp(known->cluster, cluster) == 0)
			t = known;
	}
	if (!t) {
		t = mem_zalloc(sizeof *t);
		t->cluster = mem_strdup(cluster);
		t->timeline = timeline;
		list_append(&c->timelines, &t->node);
	} else if (t->timeline != timeline) {
		t->timeline = timeline;
		log_info("cache_voided", "cluster=%s timeline=%u", cluster, timeline);
		cache_void_cluster(c->shared.cache, slice_str(cluster));
	}
}
