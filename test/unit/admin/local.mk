# SPDX-License-Identifier: PostgreSQL
# Unit tests of src/admin/: one Criterion program, one test_<file>.c per source.

if HAVE_CRITERION
check_PROGRAMS += test/unit/admin/test_admin
test_unit_admin_test_admin_SOURCES = \
	test/unit/admin/fake.c test/unit/admin/fake.h \
	test/unit/admin/test_admin.c \
	test/unit/admin/test_command.c \
	test/unit/admin/test_pages.c \
	test/unit/admin/test_readiness.c
test_unit_admin_test_admin_CPPFLAGS = $(TEST_CPPFLAGS) -I$(top_srcdir)/test/unit/admin
test_unit_admin_test_admin_LDADD = $(TEST_LIBS_5)
endif
