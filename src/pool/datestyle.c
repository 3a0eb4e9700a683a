/* SPDX-License-Identifier: PostgreSQL */
/*
 * Reads the words of a DateStyle as PostgreSQL's check does (Datestyle in
 * "Client Connection Defaults"), whether they come as an SQL list, quoted, or
 * as raw text: all but letters separates. Words that mean nothing make the
 * value unclear; then it is left as it is.
 */
#include "pool/datestyle.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct datestyle {
	const char *style; /* NULL: not said */
	const char *order;
	bool is_unclear;   /* DEFAULT, or no DateStyle at all */
};

enum { WORD_MAX = 16 };

static void take_word(struct datestyle *d, const char *word)
{
	if (strcasecmp(word, "iso") == 0)
		d->style = "iso";
	else if (strcasecmp(word, "sql") == 0)
		d->style = "sql";
	else if (strncasecmp(word, "postgres", 8) == 0)
		d->style = "postgres";
	else if (strcasecmp(word, "german") == 0)
		d->style = "german";
	else if (strcasecmp(word, "ymd") == 0)
		d->order = "ymd";
	else if (strcasecmp(word, "dmy") == 0 || strncasecmp(word, "euro", 4) == 0)
		d->order = "dmy";
	else if (strcasecmp(word, "mdy") == 0 || strcasecmp(word, "us") == 0 ||
		 strncasecmp(word, "noneuro", 7) == 0)
		d->order = "mdy";
	else
		d->is_unclear = true;
}

static struct datestyle datestyle_read(const char *value)
{
	struct datestyle d = { 0 };
	char word[WORD_MAX];

	while (*value) {
		size_t len = 0;

		while (isalpha((unsigned char)value[len]))
			len++;
		if (!len) {
			value++;
			continue;
		}
		snprintf(word, sizeof word, "%.*s", (int)(len < WORD_MAX ? len : WORD_MAX - 1), value);
		take_word(&d, word);
		value += len;
	}
	if (d.style && !d.order && strcmp(d.style, "german") == 0)
		d.order = "dmy"; /* it says that too, unless told otherwise */
	return d;
}

bool datestyle_is_partial(const char *value)
{
	struct datestyle d = datestyle_read(value);

	return !d.is_unclear && (!d.style || !d.order);
}

const char *datestyle_merge(char text[DATESTYLE_MAX], const char *old, const char *value)
{
	struct datestyle now = datestyle_read(value);
	struct datestyle was = old ? datestyle_read(old) : (struct datestyle){ 0 };

	if (now.is_unclear || was.is_unclear || (!now.style && !now.order))
		return value;
	if (!now.style)
		now.style = was.style;
	if (!now.order)
		now.order = was.order;
	if (!now.style || !now.order)
		return value;
	snprintf(text, DATESTYLE_MAX, "'%s, %s'", now.style, now.order);
	return text;
}
