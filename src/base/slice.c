/* SPDX-License-Identifier: PostgreSQL */
/*
 * Slice comparison that is too long for the header. Case folding is ASCII only
 * and takes no locale, since SQL key words and option names are ASCII. Pure.
 */
#include "base/slice.h"

static char fold(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool slice_is_nocase(struct slice a, const char *text)
{
	for (size_t i = 0; i < a.len; i++) {
		if (text[i] == '\0' || fold(a.ptr[i]) != fold(text[i]))
			return false;
	}
	return text[a.len] == '\0';
}
