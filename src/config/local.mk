# SPDX-License-Identifier: PostgreSQL
# Sources of src/config/, headers and tables included.

noinst_LIBRARIES += src/config/libconfig.a
src_config_libconfig_a_SOURCES = \
	src/config/build.c src/config/build.h \
	src/config/clusters.c src/config/clusters.h \
	src/config/config.c src/config/config.h \
	src/config/connstr.c src/config/connstr.h \
	src/config/effective.c src/config/effective.h \
	src/config/find.c src/config/find.h \
	src/config/hostlist.c src/config/hostlist.h \
	src/config/manual.c \
	src/config/number.c src/config/number.h \
	src/config/options.c src/config/options.def src/config/options.h \
	src/config/print.c src/config/print.h \
	src/config/reader.c src/config/reader.h \
	src/config/secret_file.c src/config/secret_file.h \
	src/config/system_ca.c src/config/system_ca.h \
	src/config/value.c src/config/value.h
