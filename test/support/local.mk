# SPDX-License-Identifier: PostgreSQL
# Helpers of the unit tests: linked into every test program.

check_LIBRARIES += test/support/libsupport.a
test_support_libsupport_a_SOURCES =
test_support_libsupport_a_CPPFLAGS = $(TEST_CPPFLAGS)
