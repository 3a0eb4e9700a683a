# SPDX-License-Identifier: PostgreSQL
# Sources of src/sql/, headers and tables included.

noinst_LIBRARIES += src/sql/libsql.a
src_sql_libsql_a_SOURCES = \
	src/sql/analyse.c \
	src/sql/analyse.h \
	src/sql/analysis.c \
	src/sql/analysis.h \
	src/sql/body.c \
	src/sql/body.h \
	src/sql/cache.c \
	src/sql/effects.c \
	src/sql/effects.h \
	src/sql/functions.c \
	src/sql/functions.h \
	src/sql/hint.c \
	src/sql/hint.h \
	src/sql/inside.c \
	src/sql/inside.h \
	src/sql/keyword.c \
	src/sql/keyword.h \
	src/sql/lexer.c \
	src/sql/lexer.h \
	src/sql/parse.c \
	src/sql/parse.h \
	src/sql/pin_reasons.def \
	src/sql/prepare.c \
	src/sql/prepare.h \
	src/sql/public.c \
	src/sql/quote.c \
	src/sql/quote.h \
	src/sql/session_effect.h \
	src/sql/shape.c \
	src/sql/shape.h \
	src/sql/statement.h \
	src/sql/template.c \
	src/sql/template.h \
	src/sql/tree.c \
	src/sql/tree.h \
	src/sql/utility.c \
	src/sql/utility.h \
	src/sql/walk.c \
	src/sql/walk.h
