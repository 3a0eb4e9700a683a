# SPDX-License-Identifier: PostgreSQL
# Sources of src/route/, headers and tables included.

noinst_LIBRARIES += src/route/libroute.a
src_route_libroute_a_SOURCES =
