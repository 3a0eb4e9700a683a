# SPDX-License-Identifier: PostgreSQL
# Unit tests of src/route/: one Criterion program, one test_<file>.c per source.

if HAVE_CRITERION
check_PROGRAMS += test/unit/route/test_route
test_unit_route_test_route_SOURCES = \
	test/unit/route/test_choose.c \
	test/unit/route/test_consistency.c \
	test/unit/route/test_judge.c \
	test/unit/route/test_names.c \
	test/unit/route/test_txn.c
test_unit_route_test_route_CPPFLAGS = $(TEST_CPPFLAGS)
test_unit_route_test_route_LDADD = $(TEST_LIBS_3)
endif
