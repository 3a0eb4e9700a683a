/* SPDX-License-Identifier: PostgreSQL */
/*
 * Configuration texts of any bytes: refused with an error that has a text, or a
 * snapshot that compares equal to itself and can be changed by SET. Form feeds part
 * the input into the files 0 to 3, which %include and secrets may name, and no other
 * file is there. 0 is the configuration, the last one also what SET is told.
 */
#include "base/assert.h"
#include "base/log.h"
#include "config/config.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_MAX = 8192, NAMES_MAX = 16, FILES_MAX = 4, OPENS_MAX = 64 };

static struct {
	char *texts[FILES_MAX];
	unsigned count; /* 0: whoever opens a file now isn't the reader */
	unsigned opened;
} files;

static FILE *open_for_others(const char *path, const char *mode)
{
	FILE *(*open)(const char *, const char *) = dlsym(RTLD_NEXT, "fopen");

	return open(path, mode);
}

FILE *fopen(const char *path, const char *mode)
{
	unsigned i = (unsigned)(path[0] - '0');

	if (files.count == 0)
		return open_for_others(path, mode);
	if (i < files.count && path[1] == '\0' && files.opened++ < OPENS_MAX)
		return fmemopen(files.texts[i], strlen(files.texts[i]), "r");
	errno = ENOENT;
	return NULL;
}

static void files_open(char *text)
{
	files.opened = 0;
	while (text && files.count < FILES_MAX)
		files.texts[files.count++] = strsep(&text, "\f");
}

static void files_close(void)
{
	files.count = 0;
}

static void check_refusal(const struct config_error *error)
{
	char message[512];

	config_error_text(error, message, sizeof(message));
	WEIR_ASSERT(message[0] != '\0');
}

/* name=value, as the console's SET has it. */
static void check_set(const struct config *cfg, const char *text)
{
	struct config_error error = { 0 };
	const char *names[NAMES_MAX];
	struct slice name = slice_of(text, strcspn(text, "="));
	struct config *changed;

	if (text[name.len] == '\0')
		return;
	changed = config_with(cfg, name, slice_str(text + name.len + 1), &error);
	if (changed)
		WEIR_ASSERT(config_diff(cfg, changed, names, NAMES_MAX) == 0);
	else
		check_refusal(&error);
	config_put(&changed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_error error = { 0 };
	const char *names[NAMES_MAX];
	char text[TEXT_MAX + 1];
	struct config *cfg;

	size = size < TEXT_MAX ? size : TEXT_MAX;
	memcpy(text, data, size);
	text[size] = '\0';
	log_set_level(LOG_LEVEL_ERROR);
	files_open(text);
	cfg = config_load_text(files.texts[0], &error);
	if (cfg) {
		WEIR_ASSERT(config_diff(cfg, cfg, names, NAMES_MAX) == 0);
		check_set(cfg, files.texts[files.count - 1]);
	} else {
		check_refusal(&error);
	}
	config_put(&cfg);
	files_close();
	return 0;
}
