/* SPDX-License-Identifier: PostgreSQL */
/*
 * Configuration texts of any bytes: refused with an error that has a text, or a
 * snapshot that compares equal to itself. %include is left out, since it would
 * read files.
 */
#include "base/assert.h"
#include "base/log.h"
#include "config/config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_MAX = 8192, NAMES_MAX = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_error error = { 0 };
	const char *names[NAMES_MAX];
	char text[TEXT_MAX + 1], message[512];
	struct config *cfg;

	size = size < TEXT_MAX ? size : TEXT_MAX;
	memcpy(text, data, size);
	text[size] = '\0';
	if (strchr(text, '%'))
		return 0;
	log_set_level(LOG_LEVEL_ERROR);
	cfg = config_load_text(text, &error);
	if (cfg) {
		WEIR_ASSERT(config_diff(cfg, cfg, names, NAMES_MAX) == 0);
	} else {
		config_error_text(&error, message, sizeof(message));
		WEIR_ASSERT(message[0] != '\0');
	}
	config_put(&cfg);
	return 0;
}
