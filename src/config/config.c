/* SPDX-License-Identifier: PostgreSQL */
/*
 * Life of a snapshot, and the comparison that a reload needs. A
 * snapshot keeps its raw entries, so that the console's SET is the same build
 * with one entry more.
 */
#include "config/config.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "config/build.h"
#include "config/reader.h"
#include "config/value.h"

enum { ARENA_BLOCK_BYTES = 16384, ENV_NAME_MAX = 128 };

/* --- life ------------------------------------------------------------------ */

static struct config *config_create(const char *path)
{
	struct config *cfg = mem_zalloc(sizeof(*cfg));

	atomic_init(&cfg->refcount, 1);
	arena_init(&cfg->arena, ARENA_BLOCK_BYTES);
	cfg->path = arena_strdup(&cfg->arena, slice_str(path));
	return cfg;
}

static void config_destroy(struct config *cfg)
{
	arena_fini(&cfg->arena);
	mem_free(cfg);
}

static void entries_keep(struct config *cfg, const struct config_entries *entries)
{
	size_t bytes = entries->count * sizeof(*entries->rows);
	struct config_entry *rows = arena_alloc(&cfg->arena, bytes + 1);

	if (bytes)
		memcpy(rows, entries->rows, bytes);
	cfg->entries = rows;
	cfg->entry_count = entries->count;
}

static void env_name(const char *option, char *out, size_t size)
{
	size_t len = (size_t)snprintf(out, size, "PGWEIR_%s", option);

	for (size_t i = 0; i < len && i < size - 1; i++)
		out[i] = (char)toupper((unsigned char)out[i]);
}

static void entries_from_env(struct config *cfg, struct config_entries *entries)
{
	struct option_table table = option_table(OPTION_SCOPE_GLOBAL);

	for (size_t i = 0; i < table.count; i++) {
		char name[ENV_NAME_MAX];
		const char *value;
		struct config_entry entry = { .scope = OPTION_SCOPE_GLOBAL,
			                          .name = table.rows[i].name,
			                          .file = "environment" };

		if (!entry.name)
			continue;
		env_name(entry.name, name, sizeof(name));
		value = getenv(name);
		if (!value)
			continue;
		entry.value = value;
		config_entries_add(entries, &cfg->arena, &entry);
	}
}

/* Consumes cfg and entries; the last step of every way to a snapshot. */
static struct config *config_finish(struct config *cfg, struct config_entries *entries,
                                    struct config_error *err)
{
	enum weir_err rc = config_build(cfg, entries, err);

	entries_keep(cfg, entries);
	config_entries_fini(entries);
	if (!cfg->global.conffile[0])
		cfg->global.conffile = cfg->path;
	if (rc == WEIR_OK)
		return cfg;
	config_destroy(cfg);
	return NULL;
}

struct config *config_load(const char *path, struct config_error *err)
{
	struct config *cfg = config_create(path);
	struct config_entries entries = { 0 };

	if (config_read_file(path, &cfg->arena, &entries, err) != WEIR_OK) {
		config_entries_fini(&entries);
		config_destroy(cfg);
		return NULL;
	}
	entries_from_env(cfg, &entries);
	return config_finish(cfg, &entries, err);
}

struct config *config_load_text(const char *text, struct config_error *err)
{
	struct config *cfg = config_create("");
	struct config_entries entries = { 0 };

	if (config_read_text(text, &cfg->arena, &entries, err) != WEIR_OK) {
		config_entries_fini(&entries);
		config_destroy(cfg);
		return NULL;
	}
	entries_from_env(cfg, &entries);
	return config_finish(cfg, &entries, err);
}

/* An earlier SET of the same option. */
static bool is_superseded(const struct config_entry *e, const struct config_entry *by)
{
	return strcmp(e->file, by->file) == 0 && e->scope == by->scope &&
	       strcmp(e->name, by->name) == 0;
}

struct config *config_with(const struct config *base, struct slice name, struct slice value,
                           struct config_error *err)
{
	struct config *cfg = config_create(base->path);
	struct config_entries entries = { 0 };
	struct config_entry entry = {
		.scope = OPTION_SCOPE_GLOBAL,
		.name = arena_strdup(&cfg->arena, name),
		.value = arena_strdup(&cfg->arena, value),
		.file = "console",
	};

	for (size_t i = 0; i < base->entry_count; i++)
		if (!is_superseded(&base->entries[i], &entry))
			config_entries_add(&entries, &cfg->arena, &base->entries[i]);
	config_entries_add(&entries, &cfg->arena, &entry);
	cfg = config_finish(cfg, &entries, err);
	if (cfg)
		config_keep(cfg, base);
	return cfg;
}

struct config *config_get(struct config *cfg)
{
	WEIR_ASSERT(cfg != NULL && atomic_load_explicit(&cfg->refcount, memory_order_relaxed) > 0);
	atomic_fetch_add_explicit(&cfg->refcount, 1, memory_order_relaxed);
	return cfg;
}

void config_put(struct config **cfg)
{
	struct config *gone = *cfg;

	*cfg = NULL;
	if (gone && atomic_fetch_sub_explicit(&gone->refcount, 1, memory_order_acq_rel) == 1)
		config_destroy(gone);
}

void config_error_text(const struct config_error *err, char *out, size_t size)
{
	char where[320] = "";

	if (err->line)
		snprintf(where, sizeof(where), "%s:%u: ", err->file, err->line);
	else if (err->file[0])
		snprintf(where, sizeof(where), "%s: ", err->file);
	snprintf(out, size, "%s%s%s%s", where, err->option, err->option[0] ? ": " : "", err->message);
}

void config_error_of(const struct config *cfg, const char *option, const char *message,
                     struct config_error *err)
{
	const struct option *wanted = option_find(OPTION_SCOPE_GLOBAL, slice_str(option));
	struct config_entry at = { .file = cfg->path };

	for (size_t i = 0; i < cfg->entry_count; i++) {
		const struct config_entry *e = &cfg->entries[i];

		if (wanted && e->scope == OPTION_SCOPE_GLOBAL &&
		    option_find(OPTION_SCOPE_GLOBAL, slice_str(e->name)) == wanted)
			at = *e;
	}
	config_error_set(err, &at, option, "%s", message);
}

/* --- reload ------------------------------------------------------------------ */

size_t config_diff(const struct config *a, const struct config *b, const char **out, size_t max)
{
	struct option_table table = option_table(OPTION_SCOPE_GLOBAL);
	size_t count = 0;

	for (size_t i = 0; i < table.count; i++) {
		const struct option *o = &table.rows[i];

		if (!o->name || !o->needs_restart || option_equal(o, &a->global, &b->global))
			continue;
		if (count < max)
			out[count] = o->name;
		count++;
	}
	return count;
}

void config_keep(struct config *cfg, const struct config *in_force)
{
	struct option_table table = option_table(OPTION_SCOPE_GLOBAL);

	for (size_t i = 0; i < table.count; i++)
		if (table.rows[i].name && table.rows[i].needs_restart)
			option_take(&table.rows[i], &cfg->global, &in_force->global, &cfg->arena);
}
