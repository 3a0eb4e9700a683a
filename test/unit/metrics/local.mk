# SPDX-License-Identifier: PostgreSQL
# Unit tests of src/metrics/: one Criterion program, one test_<file>.c per source.

if HAVE_CRITERION
check_PROGRAMS += test/unit/metrics/test_metrics
test_unit_metrics_test_metrics_SOURCES = \
	test/unit/metrics/test_metrics.c
test_unit_metrics_test_metrics_CPPFLAGS = $(TEST_CPPFLAGS)
test_unit_metrics_test_metrics_LDADD = $(TEST_LIBS_1)
endif
