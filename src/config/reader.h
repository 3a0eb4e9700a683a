/* SPDX-License-Identifier: PostgreSQL */
/*
 * From ini text to raw entries, each with its origin; nothing is interpreted
 * but the section names and %include. Private to config/. The control thread
 * only (the ini library has process-wide switches).
 */
#ifndef WEIR_CONFIG_READER_H
#define WEIR_CONFIG_READER_H

#include "base/arena.h"
#include "base/err.h"
#include "config/config.h"

struct config_entry {
	enum option_scope scope;
	const char *name; /* quotes taken off */
	const char *value;
	const char *file;
	unsigned line; /* 0: not of a file */
};

struct config_entries {
	struct config_entry *rows; /* owned: mem_free */
	size_t count;
	size_t cap;
};

void config_entries_fini(struct config_entries *entries);
/* Texts are copied into the arena. */
void config_entries_add(struct config_entries *entries, struct arena *arena,
                        const struct config_entry *entry);

enum weir_err config_read_file(const char *path, struct arena *arena, struct config_entries *out,
                               struct config_error *err) WEIR_MUST_CHECK;
/* The same from memory; its name in errors is "text". */
enum weir_err config_read_text(const char *text, struct arena *arena, struct config_entries *out,
                               struct config_error *err) WEIR_MUST_CHECK;

/* Fills err; the option may be NULL. */
void config_error_set(struct config_error *err, const struct config_entry *at, const char *option,
                      const char *fmt, ...) WEIR_PRINTF(4, 5);

#endif
