# SPDX-License-Identifier: PostgreSQL
# Sources of src/route/, headers and tables included.

noinst_LIBRARIES += src/route/libroute.a
src_route_libroute_a_SOURCES = \
	src/route/choose.c \
	src/route/choose.h \
	src/route/consistency.c \
	src/route/consistency.h \
	src/route/judge.c \
	src/route/judge.h \
	src/route/judge_tables.c \
	src/route/names.c \
	src/route/names.h \
	src/route/txn.c \
	src/route/txn.h
