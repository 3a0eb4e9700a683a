# SPDX-License-Identifier: PostgreSQL
# Unit tests of src/pool/: one Criterion program, one test_<file>.c per source.

if HAVE_CRITERION
check_PROGRAMS += test/unit/pool/test_pool
test_unit_pool_test_pool_SOURCES = \
	test/unit/pool/test_datestyle.c \
	test/unit/pool/test_description.c \
	test/unit/pool/test_ledger.c \
	test/unit/pool/test_params.c \
	test/unit/pool/test_plain_names.c \
	test/unit/pool/test_pool.c \
	test/unit/pool/test_prepared.c \
	test/unit/pool/test_replies.c \
	test/unit/pool/test_session.c \
	test/unit/pool/test_session_txn.c
test_unit_pool_test_pool_CPPFLAGS = $(TEST_CPPFLAGS)
test_unit_pool_test_pool_LDADD = $(TEST_LIBS_3)
endif
