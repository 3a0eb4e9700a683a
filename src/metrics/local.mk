# SPDX-License-Identifier: PostgreSQL
# Sources of src/metrics/, headers and tables included.

noinst_LIBRARIES += src/metrics/libmetrics.a
src_metrics_libmetrics_a_SOURCES =
