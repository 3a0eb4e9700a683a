# SPDX-License-Identifier: PostgreSQL
# Unit tests of k8s/apps/backend: one Criterion program, one test_<file>.c per source that needs no loop.

if HAVE_CRITERION
if HAVE_JANSSON
check_PROGRAMS += test/unit/backend/test_backend
test_unit_backend_test_backend_SOURCES = \
	test/unit/backend/test_address.c \
	test/unit/backend/test_amount.c \
	test/unit/backend/test_answer.c \
	test/unit/backend/test_header.c \
	test/unit/backend/test_health.c \
	test/unit/backend/test_metrics.c \
	test/unit/backend/test_options.c \
	test/unit/backend/test_route.c \
	test/unit/backend/test_rules.c \
	test/unit/backend/test_statement.c \
	test/unit/backend/test_trace.c
test_unit_backend_test_backend_CPPFLAGS = $(TEST_CPPFLAGS) -I$(top_srcdir)/k8s/apps $(JANSSON_CFLAGS)
test_unit_backend_test_backend_LDADD = $(FINAI_LIBS) $(FINAI_SYSTEM_LIBS) $(CRITERION_LIBS)
endif
endif
