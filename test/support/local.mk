# SPDX-License-Identifier: PostgreSQL
# Helpers of the unit tests, linked into every test program: "support/trace.h".

if HAVE_CRITERION
check_LIBRARIES += test/support/libsupport.a
test_support_libsupport_a_SOURCES = \
	test/support/alloc.c \
	test/support/alloc.h \
	test/support/fake_clock.h \
	test/support/script.c \
	test/support/script.h \
	test/support/trace.c \
	test/support/trace.h
test_support_libsupport_a_CPPFLAGS = $(TEST_CPPFLAGS)
endif
