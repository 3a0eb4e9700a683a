/* SPDX-License-Identifier: PostgreSQL */
/*
 * Metrics as Prometheus' text format, version 0.0.4. Pure.
 */
#ifndef WEIR_METRICS_EXPOSITION_H
#define WEIR_METRICS_EXPOSITION_H

#include "base/buf.h"
#include "metrics/metrics.h"

#define EXPOSITION_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Everything of the tables: counters, gauges, ends by reason, histograms, databases. */
void exposition_write(const struct metrics *m, struct buf *out);

/* For rows that others hold (nodes, pools): head once per name, then its samples. */
void exposition_head(struct buf *out, const char *name, const char *type, const char *help);
/* A label value with the format's escapes: \\, \" and \n. */
void exposition_label(struct buf *out, const char *value);

#endif
