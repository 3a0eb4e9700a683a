# SPDX-License-Identifier: PostgreSQL
# Sources of src/cache/, headers and tables included.

noinst_LIBRARIES += src/cache/libcache.a
src_cache_libcache_a_SOURCES = \
	src/cache/admission.c \
	src/cache/admission.h \
	src/cache/blake2.c \
	src/cache/blake2.h \
	src/cache/cache.c \
	src/cache/cache.h \
	src/cache/change.c \
	src/cache/change.h \
	src/cache/discover.c \
	src/cache/discover.h \
	src/cache/entry.c \
	src/cache/entry.h \
	src/cache/greet.c \
	src/cache/greet.h \
	src/cache/key.c \
	src/cache/key.h \
	src/cache/link.c \
	src/cache/link.h \
	src/cache/listen.c \
	src/cache/listen.h \
	src/cache/local.c \
	src/cache/local.h \
	src/cache/lookup.c \
	src/cache/node.c \
	src/cache/node.h \
	src/cache/options.h \
	src/cache/publish.c \
	src/cache/publish.h \
	src/cache/redis.c \
	src/cache/redis.h \
	src/cache/rules.c \
	src/cache/rules.h \
	src/cache/shared.c \
	src/cache/shared.h \
	src/cache/slots.c \
	src/cache/slots.h \
	src/cache/stats.c \
	src/cache/stats.h \
	src/cache/tables.c \
	src/cache/tables.h
