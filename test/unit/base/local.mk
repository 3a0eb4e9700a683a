# SPDX-License-Identifier: PostgreSQL
# Unit tests of src/base/: one Criterion program, one test_<file>.c per source.

if HAVE_CRITERION
check_PROGRAMS += test/unit/base/test_base
test_unit_base_test_base_SOURCES = \
	test/unit/base/test_slice.c
test_unit_base_test_base_CPPFLAGS = $(TEST_CPPFLAGS)
test_unit_base_test_base_LDADD = $(TEST_LIBS_0)
endif
