# SPDX-License-Identifier: PostgreSQL
# Unit tests of src/auth/: one Criterion program, one test_<file>.c per source.

if HAVE_CRITERION
check_PROGRAMS += test/unit/auth/test_auth
test_unit_auth_test_auth_SOURCES = \
	test/unit/auth/test_client_login.c \
	test/unit/auth/test_crypto.c \
	test/unit/auth/test_hba.c \
	test/unit/auth/test_ident.c \
	test/unit/auth/test_key_cache.c \
	test/unit/auth/test_saslprep.c \
	test/unit/auth/test_scram.c \
	test/unit/auth/test_secret.c \
	test/unit/auth/test_secret_shape.c \
	test/unit/auth/test_server_login.c \
	test/unit/auth/test_userlist.c
test_unit_auth_test_auth_CPPFLAGS = $(TEST_CPPFLAGS)
test_unit_auth_test_auth_LDADD = $(TEST_LIBS_3)
endif
