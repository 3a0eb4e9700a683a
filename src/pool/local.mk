# SPDX-License-Identifier: PostgreSQL
# Sources of src/pool/, headers and tables included.

noinst_LIBRARIES += src/pool/libpool.a
src_pool_libpool_a_SOURCES =
