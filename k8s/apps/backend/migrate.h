/* SPDX-License-Identifier: PostgreSQL */
/*
 * `finai-backend migrate`: brings the schema to what the SQL files beside the
 * program say. Each NNN-name.sql is applied once, in order, all in one
 * transaction. Any number of pods may run it at once. Blocking: a program of
 * its own, without a loop.
 */
#ifndef FINAI_MIGRATE_H
#define FINAI_MIGRATE_H

#include "backend/options.h"

int migrate_run(const struct options *options); /* the exit status */

#endif
