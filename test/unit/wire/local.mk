# SPDX-License-Identifier: PostgreSQL
# Unit tests of src/wire/: one Criterion program, one test_<file>.c per source.

if HAVE_CRITERION
check_PROGRAMS += test/unit/wire/test_wire
test_unit_wire_test_wire_SOURCES = \
	test/unit/wire/bytes.h \
	test/unit/wire/test_backend.c \
	test/unit/wire/test_build.c \
	test/unit/wire/test_frame.c \
	test/unit/wire/test_frontend.c \
	test/unit/wire/test_reader.c \
	test/unit/wire/test_startup.c
test_unit_wire_test_wire_CPPFLAGS = $(TEST_CPPFLAGS)
test_unit_wire_test_wire_LDADD = $(TEST_LIBS_1)
endif
