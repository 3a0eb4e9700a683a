# SPDX-License-Identifier: PostgreSQL
# Sources of src/sql/, headers and tables included.

noinst_LIBRARIES += src/sql/libsql.a
src_sql_libsql_a_SOURCES = \
	src/sql/statement.h
