/* SPDX-License-Identifier: PostgreSQL */
/*
 * Commands at the console: what is found is found behind blanks and comments too,
 * and an argument is a part of the text.
 */
#include <stdint.h>

#include "admin/command.h"
#include "base/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 4096, WORD_SIZE = 64 };

static void check_word(struct slice argument)
{
	char word[WORD_SIZE];

	if (command_word(argument, word, sizeof(word)))
		WEIR_ASSERT(strlen(word) < sizeof(word) && strlen(word) <= argument.len);
}

static void check_behind_comments(struct slice text, const struct admin_command *command)
{
	struct slice argument;
	struct buf b;

	buf_init(&b, 2 * INPUT_MAX);
	buf_append_str(&b, " /* a */ -- b\n\t");
	buf_append_slice(&b, text);
	buf_append_str(&b, " ;; ");
	WEIR_ASSERT(command_find(buf_slice(&b), &argument) == command);
	buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_of(data, size < INPUT_MAX ? size : INPUT_MAX), argument;
	const struct admin_command *command = command_find(text, &argument);

	check_word(text);
	if (command) {
		WEIR_ASSERT(argument.ptr >= text.ptr);
		WEIR_ASSERT(argument.ptr + argument.len <= text.ptr + text.len);
		check_word(argument);
		check_behind_comments(text, command);
	}
	return 0;
}
