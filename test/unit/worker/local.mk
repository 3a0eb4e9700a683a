# SPDX-License-Identifier: PostgreSQL
# Unit tests of src/worker/: one Criterion program, one test_<file>.c per source.

if HAVE_CRITERION
check_PROGRAMS += test/unit/worker/test_worker
test_unit_worker_test_worker_SOURCES = \
	test/unit/worker/test_explain.c
test_unit_worker_test_worker_CPPFLAGS = $(TEST_CPPFLAGS)
test_unit_worker_test_worker_LDADD = $(TEST_LIBS_5)
endif
