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

_Static_assert((int)CONFIG_REDIS_SENTINEL == (int)CACHE_REDIS_SENTINEL &&
                       (int)CONFIG_REDIS_CLUSTER == (int)CACHE_REDIS_CLUSTER &&
                       (int)CONFIG_REDIS_SEEDS_MAX <= (int)CACHE_SEEDS_MAX,
               "a cache_redis as the cache takes it");

/* The scope names a cluster's database, which several entries may stand for: all are looked at. */
static void on_ddl(void *ctx, struct slice scope)
{
	struct control *c = ctx;

	(void)scope;
	tier_catalog_stale_post(c->tier, "");
}

static const char *text_or_null(const char *text)
{
	return text[0] ? text : NULL;
}

static void describe_redis(const struct settings *s, struct cache_redis *out)
{
	const struct config_redis *r = &s->config->redis;
	const struct config_globals *g = &s->config->global;

	*out = (struct cache_redis){
		.mode = (enum cache_redis_mode)r->mode,
		.seed_count = (unsigned)r->seed_count,
		.user = r->user,
		.password = r->password,
		.prefix = g->cache_redis_prefix,
		.timeout_ms = (uint32_t)(g->cache_redis_timeout_us / 1000),
		.tls = s->cache_tls,
		.master = r->master,
		.sentinel_user = text_or_null(g->cache_redis_sentinel_user),
		.sentinel_password = text_or_null(g->cache_redis_sentinel_password),
	};
	for (size_t i = 0; i < r->seed_count; i++)
		out->seeds[i] = (struct cache_seed){ r->seeds[i].host, r->seeds[i].port };
}

struct cache *control_create_cache(struct control *c, struct resolver *resolver)
{
	const struct config_globals *g = &c->settings->config->global;
	struct cache_options o = {
		.local_bytes = g->cache_bytes,
		.entry_bytes = g->cache_entry_max_bytes,
		.ttl_ms = (uint32_t)(g->cache_ttl_us / 1000),
		.min_hits = (uint32_t)g->cache_min_hits,
		.admission_window_ms = ADMISSION_WINDOW_MS,
		.resolver = resolver,
		.on_ddl = on_ddl,
		.ctx = c,
	};

	describe_redis(c->settings, &o.redis);
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
