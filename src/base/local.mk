# SPDX-License-Identifier: PostgreSQL
# Sources of src/base/, headers and tables included.

noinst_LIBRARIES += src/base/libbase.a
src_base_libbase_a_SOURCES = \
	src/base/arena.c \
	src/base/arena.h \
	src/base/assert.c \
	src/base/assert.h \
	src/base/buf.c \
	src/base/buf.h \
	src/base/clock.c \
	src/base/clock.h \
	src/base/err.c \
	src/base/err.h \
	src/base/hash.c \
	src/base/hash.h \
	src/base/list.h \
	src/base/log.c \
	src/base/log.h \
	src/base/log_line.c \
	src/base/log_line.h \
	src/base/log_syslog.c \
	src/base/log_syslog.h \
	src/base/map.c \
	src/base/map.h \
	src/base/mem.c \
	src/base/mem.h \
	src/base/slab.c \
	src/base/slab.h \
	src/base/slice.c \
	src/base/slice.h \
	src/base/sm.c \
	src/base/sm.h
