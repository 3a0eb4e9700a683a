/* SPDX-License-Identifier: PostgreSQL */
/*
 * See cache_setup.h.
 */
#include "worker/cache_setup.h"

#include "base/log.h"
#include "base/mem.h"
#include "cache/cache.h"
#include "config/config.h"
#include "tier/tier.h"
#include "worker/control_priv.h"

enum { ADMISSION_WINDOW_MS = 10000 };

/* The scope names a cluster's database, which several entries may stand for: all are looked at. */
static void on_ddl(void *ctx, struct slice scope)
{
	struct control *c = ctx;

	(void)scope;
	tier_catalog_stale_post(c->tier, "");
}

struct cache *control_create_cache(struct control *c, struct resolver *resolver)
{
	const struct config *config = c->settings->config;
	const struct config_globals *g = &config->global;
	struct cache_options o = {
		.local_bytes = g->cache_bytes,
		.entry_bytes = g->cache_entry_max_bytes,
		.ttl_ms = (uint32_t)(g->cache_ttl_us / 1000),
		.min_hits = (uint32_t)g->cache_min_hits,
		.admission_window_ms = ADMISSION_WINDOW_MS,
		.redis_host = config->redis.host,
		.redis_port = config->redis.port,
		.redis_user = config->redis.user,
		.redis_password = config->redis.password,
		.redis_timeout_ms = (uint32_t)(g->cache_redis_timeout_us / 1000),
		.redis_prefix = g->cache_redis_prefix,
		.resolver = resolver,
		.on_ddl = on_ddl,
		.ctx = c,
	};

	return cache_create(&o);
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
