# SPDX-License-Identifier: PostgreSQL
# Unit tests of src/config/: one Criterion program, one test_<file>.c per source.

if HAVE_CRITERION
check_PROGRAMS += test/unit/config/test_config
test_unit_config_test_config_SOURCES = \
	test/unit/config/test_config.c \
	test/unit/config/test_connstr.c \
	test/unit/config/test_print.c \
	test/unit/config/test_reader.c \
	test/unit/config/test_value.c
test_unit_config_test_config_CPPFLAGS = $(TEST_CPPFLAGS)
test_unit_config_test_config_LDADD = $(TEST_LIBS_1)
endif
