# SPDX-License-Identifier: PostgreSQL
# Unit tests of src/base/: one Criterion program, one test_<file>.c per source.

if HAVE_CRITERION
check_PROGRAMS += test/unit/base/test_base
test_unit_base_test_base_SOURCES = \
	test/unit/base/test_arena.c \
	test/unit/base/test_buf.c \
	test/unit/base/test_clock.c \
	test/unit/base/test_err.c \
	test/unit/base/test_hash.c \
	test/unit/base/test_list.c \
	test/unit/base/test_log.c \
	test/unit/base/test_log_line.c \
	test/unit/base/test_map.c \
	test/unit/base/test_mem.c \
	test/unit/base/test_script.c \
	test/unit/base/test_slab.c \
	test/unit/base/test_slice.c \
	test/unit/base/test_sm.c
test_unit_base_test_base_CPPFLAGS = $(TEST_CPPFLAGS)
test_unit_base_test_base_LDADD = $(TEST_LIBS_0)
endif
