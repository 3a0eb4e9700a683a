# SPDX-License-Identifier: PostgreSQL
# Sources of src/wire/, headers and tables included.

noinst_LIBRARIES += src/wire/libwire.a
src_wire_libwire_a_SOURCES = \
	src/wire/backend.c \
	src/wire/backend.h \
	src/wire/build.c \
	src/wire/build.h \
	src/wire/build_backend.c \
	src/wire/build_frontend.c \
	src/wire/frame.h \
	src/wire/frontend.c \
	src/wire/frontend.h \
	src/wire/public.c \
	src/wire/reader.h \
	src/wire/startup.c \
	src/wire/startup.h
