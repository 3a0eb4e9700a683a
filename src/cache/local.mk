# SPDX-License-Identifier: PostgreSQL
# Sources of src/cache/, headers and tables included.

noinst_LIBRARIES += src/cache/libcache.a
src_cache_libcache_a_SOURCES = \
	src/cache/cache.h
