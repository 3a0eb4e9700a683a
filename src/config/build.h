/* SPDX-License-Identifier: PostgreSQL */
/*
 * From raw entries to a checked snapshot. Private to config/. Pure but for the
 * memory it takes from the snapshot's arena.
 */
#ifndef WEIR_CONFIG_BUILD_H
#define WEIR_CONFIG_BUILD_H

#include "base/err.h"
#include "config/config.h"
#include "config/reader.h"

struct config_peer { /* accepted for pgbouncer.ini's sake */
	const char *name;
	uint64_t given;
#define PEER_ROW(name, kind, field, ...) OPTION_CTYPE_##kind field;
#include "config/options.def"
};

/*
 * Fills cfg, whose arena is ready, from the entries in order: later ones win.
 * What the operator should hear goes to cfg->notes.
 */
enum weir_err config_build(struct config *cfg, const struct config_entries *entries,
                           struct config_error *err) WEIR_MUST_CHECK;

#endif
