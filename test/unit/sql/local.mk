# SPDX-License-Identifier: PostgreSQL
# Unit tests of src/sql/: one Criterion program, one test_<file>.c per source.

if HAVE_CRITERION
check_PROGRAMS += test/unit/sql/test_sql
test_unit_sql_test_sql_SOURCES = \
	test/unit/sql/describe.c \
	test/unit/sql/describe.h \
	test/unit/sql/rebuild.c \
	test/unit/sql/rebuild.h \
	test/unit/sql/test_analyse.c \
	test/unit/sql/test_cache.c \
	test/unit/sql/test_hint.c \
	test/unit/sql/test_lexer.c \
	test/unit/sql/test_prepare.c \
	test/unit/sql/test_quote.c \
	test/unit/sql/test_routes.c \
	test/unit/sql/test_shape.c \
	test/unit/sql/test_template.c \
	test/unit/sql/test_tree.c
test_unit_sql_test_sql_CPPFLAGS = $(TEST_CPPFLAGS)
test_unit_sql_test_sql_LDADD = $(TEST_LIBS_1)
endif
