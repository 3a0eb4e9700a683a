# SPDX-License-Identifier: PostgreSQL
# Sources of src/proxy/, headers and tables included.

noinst_LIBRARIES += src/proxy/libproxy.a
src_proxy_libproxy_a_SOURCES =
