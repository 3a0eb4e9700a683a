# SPDX-License-Identifier: PostgreSQL
# Unit tests of src/sql/: one Criterion program, one test_<file>.c per source.

if HAVE_CRITERION
#check_PROGRAMS += test/unit/sql/test_sql
#test_unit_sql_test_sql_SOURCES = \
#	test/unit/sql/test_x.c
#test_unit_sql_test_sql_CPPFLAGS = $(TEST_CPPFLAGS)
#test_unit_sql_test_sql_LDADD = $(TEST_LIBS_1)
endif
