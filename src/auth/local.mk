# SPDX-License-Identifier: PostgreSQL
# Sources of src/auth/, headers and tables included.

noinst_LIBRARIES += src/auth/libauth.a
src_auth_libauth_a_SOURCES = \
	src/auth/auth_token.c \
	src/auth/auth_token.h \
	src/auth/client_login.c \
	src/auth/client_login.h \
	src/auth/crypto.c \
	src/auth/crypto.h \
	src/auth/hba.c \
	src/auth/hba.h \
	src/auth/ident.c \
	src/auth/ident.h \
	src/auth/key_cache.c \
	src/auth/key_cache.h \
	src/auth/md5.c \
	src/auth/md5.h \
	src/auth/saslprep.c \
	src/auth/saslprep.h \
	src/auth/scram.h \
	src/auth/scram_client.c \
	src/auth/scram_secret.c \
	src/auth/scram_secret.h \
	src/auth/scram_server.c \
	src/auth/scram_text.c \
	src/auth/scram_text.h \
	src/auth/secret.c \
	src/auth/secret.h \
	src/auth/secret_shape.c \
	src/auth/secret_shape.h \
	src/auth/server_login.c \
	src/auth/server_login.h \
	src/auth/text_file.c \
	src/auth/text_file.h \
	src/auth/userlist.c \
	src/auth/userlist.h
