# SPDX-License-Identifier: PostgreSQL
# Unit tests of src/proxy/: one Criterion program, one test_<file>.c per source.

if HAVE_CRITERION
check_PROGRAMS += test/unit/proxy/test_proxy
test_unit_proxy_test_proxy_SOURCES = \
	test/unit/proxy/test_gate.c \
	test/unit/proxy/test_options.c \
	test/unit/proxy/test_replication.c \
	test/unit/proxy/test_request.c \
	test/unit/proxy/test_switches.c
test_unit_proxy_test_proxy_CPPFLAGS = $(TEST_CPPFLAGS)
test_unit_proxy_test_proxy_LDADD = $(TEST_LIBS_4)
endif
