# SPDX-License-Identifier: PostgreSQL
# Sources of src/config/, headers and tables included.

noinst_LIBRARIES += src/config/libconfig.a
src_config_libconfig_a_SOURCES =
