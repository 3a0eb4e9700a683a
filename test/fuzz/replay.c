/* SPDX-License-Identifier: PostgreSQL */
/*
 * Stands in for libFuzzer's main() in a normal build, so that every fuzz target
 * is compiled and run by make check: the seeds of test/fuzz/corpus/<name>/, each
 * cut short at some places and changed at others, then inputs from a fixed random
 * sequence. Speaks TAP.
 * With arguments it runs those files only: the way to repeat a finding.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INPUT_MAX = 1 << 20, MADE_UP_COUNT = 3000, MADE_UP_MAX = 600, CUTS = 16 };
enum { CHANGED_COUNT = 40, CHANGED_MAX = 2048 }; /* of each seed up to that size */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy of the exact size, so that a sanitizer sees the first byte behind it. */
static void run_bytes(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy)
		abort();
	memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

static uint32_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(*state >> 33);
}

/* One to four bytes replaced, left out, doubled, or brought from elsewhere in the seed. */
static size_t change(uint8_t *data, size_t size, uint64_t *random)
{
	static const uint8_t odd[] = { 0, 1, 0x7f, 0x80, 0xff, '\'', '"', '\\', '$', ',', '\n', '{' };

	for (unsigned n = next_random(random) % 4 + 1; n > 0 && size > 0; n--) {
		size_t at = next_random(random) % size, from = next_random(random) % size;

		switch (next_random(random) % 5) {
		case 0:
			data[at] = (uint8_t)next_random(random);
			break;
		case 1:
			data[at] = odd[next_random(random) % sizeof(odd)];
			break;
		case 2:
			memmove(data + at, data + at + 1, --size - at);
			break;
		case 3:
			memmove(data + at + 1, data + at, size++ - at);
			break;
		default:
			data[at] = data[from];
		}
	}
	return size;
}

static unsigned run_changed(const uint8_t *seed, size_t size)
{
	uint8_t data[CHANGED_MAX + 8];
	uint64_t random = 20261125 + size;

	if (size > CHANGED_MAX)
		return 0;
	for (unsigned i = 0; i < CHANGED_COUNT; i++) {
		memcpy(data, seed, size);
		run_bytes(data, change(data, size, &random));
	}
	return CHANGED_COUNT;
}

static unsigned run_file(const char *path, unsigned cuts)
{
	uint8_t *data = malloc(INPUT_MAX);
	FILE *f = fopen(path, "rb");
	size_t size;

	if (!f || !data) {
		printf("Bail out! cannot read %s\n", path);
		exit(1);
	}
	size = fread(data, 1, INPUT_MAX, f);
	fclose(f);
	run_bytes(data, size);
	for (unsigned i = 1; i <= cuts; i++)
		run_bytes(data, size * i / (cuts + 1));
	if (cuts)
		cuts += run_changed(data, size);
	free(data);
	return cuts + 1;
}

static unsigned run_corpus(const char *name)
{
	char folder[2048], path[4096];
	struct dirent *entry;
	unsigned count = 0;
	DIR *dir;

	snprintf(folder, sizeof(folder), "%s/test/fuzz/corpus/%s", TEST_SRCDIR, name);
	dir = opendir(folder);
	if (!dir)
		return 0;
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		count += run_file(path, CUTS);
	}
	closedir(dir);
	return count;
}

/* Half of the bytes are printable: grammars get further with those. */
static unsigned run_made_up(void)
{
	uint8_t data[MADE_UP_MAX];
	uint64_t state = 20260131;

	for (unsigned i = 0; i < MADE_UP_COUNT; i++) {
		size_t size = next_random(&state) % (i < 200 ? 16 : MADE_UP_MAX);

		for (size_t k = 0; k < size; k++) {
			uint32_t r = next_random(&state);

			data[k] = (uint8_t)(r & 1 ? 0x20 + (r >> 8) % 0x5f : r >> 16);
		}
		run_bytes(data, size);
	}
	return MADE_UP_COUNT;
}

static const char *target_name(const char *program)
{
	const char *slash = strrchr(program, '/');
	const char *base = slash ? slash + 1 : program;

	return strncmp(base, "fuzz_", 5) == 0 ? base + 5 : base;
}

int main(int argc, char **argv)
{
	const char *name = target_name(argv[0]);
	unsigned inputs;

	if (argc > 1 && argv[1][0] != '-') {
		for (int i = 1; i < argc; i++)
			run_file(argv[i], 0);
		return 0;
	}
	printf("TAP version 13\n1..1\n");
	inputs = run_corpus(name) + run_made_up();
	printf("ok 1 - fuzz::%s %u inputs\n", name, inputs);
	return 0;
}
