# SPDX-License-Identifier: PostgreSQL
# Sources of src/pool/, headers and tables included.

noinst_LIBRARIES += src/pool/libpool.a
src_pool_libpool_a_SOURCES = \
	src/pool/datestyle.c \
	src/pool/datestyle.h \
	src/pool/description.c \
	src/pool/description.h \
	src/pool/ledger.c \
	src/pool/ledger.h \
	src/pool/params.c \
	src/pool/params.h \
	src/pool/plain_names.c \
	src/pool/plain_names.h \
	src/pool/pool.c \
	src/pool/pool.h \
	src/pool/prepared.c \
	src/pool/prepared.h \
	src/pool/prepared_set.c \
	src/pool/replies.c \
	src/pool/replies.h \
	src/pool/server.c \
	src/pool/server.h \
	src/pool/session.c \
	src/pool/session.h \
	src/pool/session_txn.c \
	src/pool/session_txn.h
