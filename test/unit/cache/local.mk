# SPDX-License-Identifier: PostgreSQL
# Unit tests of src/cache/: one Criterion program, one test_<file>.c per source.

if HAVE_CRITERION
check_PROGRAMS += test/unit/cache/test_cache
test_unit_cache_test_cache_SOURCES = \
	test/unit/cache/peer.c \
	test/unit/cache/peer.h \
	test/unit/cache/redis_server.c \
	test/unit/cache/redis_server.h \
	test/unit/cache/test_admission.c \
	test/unit/cache/test_blake2.c \
	test/unit/cache/test_cache.c \
	test/unit/cache/test_change.c \
	test/unit/cache/test_entry.c \
	test/unit/cache/test_key.c \
	test/unit/cache/test_link.c \
	test/unit/cache/test_local.c \
	test/unit/cache/test_redis.c \
	test/unit/cache/test_rules.c \
	test/unit/cache/test_shared.c \
	test/unit/cache/test_tables.c
test_unit_cache_test_cache_CPPFLAGS = $(TEST_CPPFLAGS)
test_unit_cache_test_cache_LDADD = $(TEST_LIBS_3)
endif

# Several threads against an oracle; no Criterion, so that it runs under ThreadSanitizer too.
check_PROGRAMS += test/stress/stress_cache
test_stress_stress_cache_SOURCES = test/stress/stress_cache.c
test_stress_stress_cache_LDADD = $(WEIR_GROUP_BEGIN) $(WEIR_LIBS_3) $(WEIR_GROUP_END) \
	$(WEIR_SYSTEM_LIBS)
