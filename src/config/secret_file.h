/* SPDX-License-Identifier: PostgreSQL */
/*
 * Secrets in files of their own (a mounted Secret): an option <name>_file beside
 * a SECRET option <name> gives that option the file's first line. Read whenever
 * a configuration is loaded, so a changed file takes effect at a reload.
 */
#ifndef WEIR_CONFIG_SECRET_FILE_H
#define WEIR_CONFIG_SECRET_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "config/options.h"

/*
 * `o` has just been set in the struct at `base`. If it names a secret's file that is read into
 * the secret; an empty name changes nothing. false: `why` says what is wrong, never a content.
 */
bool secret_file_apply(enum option_scope scope, const struct option *o, void *base,
                       struct arena *arena, char *why, size_t why_size);

#endif
