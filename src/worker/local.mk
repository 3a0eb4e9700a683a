# SPDX-License-Identifier: PostgreSQL
# Sources of src/worker/, headers and tables included.

noinst_LIBRARIES += src/worker/libworker.a
src_worker_libworker_a_SOURCES =
