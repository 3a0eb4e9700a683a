# SPDX-License-Identifier: PostgreSQL
# Unit tests of src/cache/: one Criterion program, one test_<file>.c per source.

if HAVE_CRITERION
check_PROGRAMS += test/unit/cache/test_cache
test_unit_cache_test_cache_SOURCES = \
	test/unit/cache/peer.c \
	test/unit/cache/peer.h \
	test/unit/cache/redis_cluster.c \
	test/unit/cache/redis_cluster.h \
	test/unit/cache/redis_server.c \
	test/unit/cache/redis_server.h \
	test/unit/cache/test_admission.c \
	test/unit/cache/test_blake2.c \
	test/unit/cache/test_cache.c \
	test/unit/cache/test_change.c \
	test/unit/cache/test_cluster.c \
	test/unit/cache/test_entry.c \
	test/unit/cache/test_greet.c \
	test/unit/cache/test_key.c \
	test/unit/cache/test_link.c \
	test/unit/cache/test_local.c \
	test/unit/cache/test_redis.c \
	test/unit/cache/test_rules.c \
	test/unit/cache/test_sentinel.c \
	test/unit/cache/test_shared.c \
	test/unit/cache/test_slots.c \
	test/unit/cache/test_tables.c
test_unit_cache_test_cache_CPPFLAGS = $(TEST_CPPFLAGS)
test_unit_cache_test_cache_LDADD = $(TEST_LIBS_3)
endif
