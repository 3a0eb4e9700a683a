/* SPDX-License-Identifier: PostgreSQL */
/*
 * Bodies of answers: rows of a result as JSON, problems (RFC 9457), entity
 * tags. Numbers of PostgreSQL's numeric stay decimal strings. Pure.
 */
#ifndef FINAI_ANSWER_H
#define FINAI_ANSWER_H

#include <jansson.h>
#include <libpq-fe.h>
#include <stdint.h>

#include "backend/route.h"
#include "backend/rules.h"
#include "base/slice.h"

enum { ANSWER_TAG_MAX = 24 };

/* A row as an object: bigint as number, timestamptz (ISO, UTC) as RFC 3339, all else as text. */
json_t *answer_row(const PGresult *result, int row);
/* The first `limit` rows. */
json_t *answer_rows(const PGresult *result, int limit);
/*
 * {name: rows, "next": path of the next page, or null}. The result was asked for with one row
 * more than the page has, which tells whether there is a next one.
 */
json_t *answer_page(const char *name, const PGresult *result, enum route route,
                    const struct page *page);
json_t *answer_problem(const struct refusal *refusal);
/* A strong tag with its quotes, the same in every process. */
void answer_tag(struct slice body, char tag[ANSWER_TAG_MAX]);

#endif
