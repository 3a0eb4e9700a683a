# SPDX-License-Identifier: PostgreSQL
# Sources of src/metrics/, headers and tables included.

noinst_LIBRARIES += src/metrics/libmetrics.a
src_metrics_libmetrics_a_SOURCES = \
	src/metrics/close_reasons.c src/metrics/close_reasons.def src/metrics/close_reasons.h \
	src/metrics/db_stats.def src/metrics/db_stats.h \
	src/metrics/exposition.c src/metrics/exposition.h \
	src/metrics/histogram.c src/metrics/histogram.h \
	src/metrics/metrics.c src/metrics/metrics.def src/metrics/metrics.h
