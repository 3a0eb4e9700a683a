/* SPDX-License-Identifier: PostgreSQL */
/*
 * When each cluster last had a primary, and what follows from it.
 */
#include "admin/readiness.h"

#include "base/mem.h"

void readiness_fini(struct readiness *r)
{
	while (r->seen) {
		struct primary_seen *s = r->seen;

		r->seen = s->next;
		mem_free(s->cluster);
		mem_free(s);
	}
}

static struct primary_seen *seen_find(const struct readiness *r, const char *cluster)
{
	struct primary_seen *s;

	for (s = r->seen; s; s = s->next)
		if (strcmp(s->cluster, cluster) == 0)
			break;
	return s;
}

void readiness_note(struct readiness *r, const char *cluster, const struct topology *t,
                    uint64_t now_us)
{
	struct primary_seen *s = seen_find(r, cluster);

	if (!s) {
		s = mem_zalloc(sizeof(*s));
		s->cluster = mem_strdup(cluster);
		s->next = r->seen;
		r->seen = s;
	}
	if (t->primary >= 0)
		s->last_us = now_us;
}

static void json_text(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			buf_appendf(out, "\\%c", *text);
		else if ((unsigned char)*text < 0x20)
			buf_appendf(out, "\\u%04x", (unsigned char)*text);
		else
			buf_append_u8(out, (uint8_t)*text);
	}
}

/* The longest time that a request of any database of the cluster would wait. */
static uint64_t wait_of(const struct config *cfg, const struct config_cluster *cluster,
                        bool *is_used)
{
	uint64_t wait_us = 0;

	*is_used = false;
	for (size_t i = 0; i < cfg->database_count; i++) {
		const struct config_database *db = &cfg->databases[i];

		if (db->cluster != cluster)
			continue;
		*is_used = true;
		if (db->failover_wait_timeout_us > wait_us)
			wait_us = db->failover_wait_timeout_us;
	}
	return wait_us;
}

static bool cluster_is_ready(const struct readiness *r, const struct config *cfg,
                             const struct config_cluster *cluster, uint64_t now_us)
{
	const struct primary_seen *s = seen_find(r, cluster->name);
	bool is_used;
	uint64_t wait_us = wait_of(cfg, cluster, &is_used);

	return !is_used || (s && s->last_us && now_us - s->last_us <= wait_us);
}

bool readiness_write(const struct readiness *r, const struct config *cfg, bool is_accepting,
                     uint64_t now_us, struct buf *out)
{
	const char *comma = "";
	bool ready = is_accepting;

	for (size_t i = 0; i < cfg->cluster_count; i++)
		ready = ready && cluster_is_ready(r, cfg, &cfg->clusters[i], now_us);
	buf_appendf(out, "{\"ready\":%s,\"reasons\":[", ready ? "true" : "false");
	if (!is_accepting) {
		buf_append_str(out, "\"no new clients are accepted\"");
		comma = ",";
	}
	for (size_t i = 0; i < cfg->cluster_count; i++) {
		if (cluster_is_ready(r, cfg, &cfg->clusters[i], now_us))
			continue;
		buf_appendf(out, "%s\"cluster ", comma);
		json_text(out, cfg->clusters[i].name);
		buf_append_str(out, " has no primary\"");
		comma = ",";
	}
	buf_append_str(out, "]}\n");
	return ready;
}
