# SPDX-License-Identifier: PostgreSQL
# Sources of src/wire/, headers and tables included.

noinst_LIBRARIES += src/wire/libwire.a
src_wire_libwire_a_SOURCES =
