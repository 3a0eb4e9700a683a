# SPDX-License-Identifier: PostgreSQL
# Unit tests of src/tier/: one Criterion program, one test_<file>.c per source.

if HAVE_CRITERION
#check_PROGRAMS += test/unit/tier/test_tier
#test_unit_tier_test_tier_SOURCES = \
#	test/unit/tier/test_x.c
#test_unit_tier_test_tier_CPPFLAGS = $(TEST_CPPFLAGS)
#test_unit_tier_test_tier_LDADD = $(TEST_LIBS_3)
endif
