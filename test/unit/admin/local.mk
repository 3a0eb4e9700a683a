# SPDX-License-Identifier: PostgreSQL
# Unit tests of src/admin/: one Criterion program, one test_<file>.c per source.

if HAVE_CRITERION
#check_PROGRAMS += test/unit/admin/test_admin
#test_unit_admin_test_admin_SOURCES = \
#	test/unit/admin/test_x.c
#test_unit_admin_test_admin_CPPFLAGS = $(TEST_CPPFLAGS)
#test_unit_admin_test_admin_LDADD = $(TEST_LIBS_5)
endif
