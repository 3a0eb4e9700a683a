# SPDX-License-Identifier: PostgreSQL
# Sources of src/auth/, headers and tables included.

noinst_LIBRARIES += src/auth/libauth.a
src_auth_libauth_a_SOURCES =
