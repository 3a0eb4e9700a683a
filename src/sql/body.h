/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the body of a DO block may leave behind in the session. Pure.
 */
#ifndef WEIR_SQL_BODY_H
#define WEIR_SQL_BODY_H

#include "sql/analysis.h"

/* Adds pins and an opaque effect for what it finds; never takes anything back. */
void body_judge(struct analysis *a, struct slice body);

#endif
