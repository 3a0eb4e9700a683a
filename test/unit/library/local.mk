# SPDX-License-Identifier: PostgreSQL
# The installed library, linked alone, as another program would.

if HAVE_CRITERION
check_PROGRAMS += test/unit/library/test_library
test_unit_library_test_library_SOURCES = \
	test/unit/library/test_statement.c \
	test/unit/library/test_wire.c
test_unit_library_test_library_CPPFLAGS = -I$(top_builddir)/include -I$(top_srcdir)/include \
	$(CRITERION_CFLAGS)
test_unit_library_test_library_LDADD = $(LIBPGWEIR) $(PG_QUERY_LIBS) -lm $(CRITERION_LIBS)
test_unit_library_test_library_DEPENDENCIES = $(LIBPGWEIR)
endif
