# SPDX-License-Identifier: PostgreSQL
# Unit tests of src/tier/: one Criterion program, one test_<file>.c per source.

if HAVE_CRITERION
check_PROGRAMS += test/unit/tier/test_tier
test_unit_tier_test_tier_SOURCES = \
	test/unit/tier/test_catalog.c \
	test/unit/tier/test_cluster_log.c \
	test/unit/tier/test_freshness.c \
	test/unit/tier/test_patroni_doc.c \
	test/unit/tier/test_probe.c \
	test/unit/tier/test_view.c
test_unit_tier_test_tier_CPPFLAGS = $(TEST_CPPFLAGS)
test_unit_tier_test_tier_LDADD = $(TEST_LIBS_3)
endif
