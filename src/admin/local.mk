# SPDX-License-Identifier: PostgreSQL
# Sources of src/admin/, headers and tables included.

noinst_LIBRARIES += src/admin/libadmin.a
src_admin_libadmin_a_SOURCES = \
	src/admin/act.c \
	src/admin/admin.c src/admin/admin.h src/admin/private.h \
	src/admin/command.c src/admin/command.h src/admin/commands.def \
	src/admin/names.c src/admin/names.h \
	src/admin/nodes.c src/admin/nodes.h \
	src/admin/pages.c \
	src/admin/readiness.c src/admin/readiness.h \
	src/admin/result.c src/admin/result.h \
	src/admin/show_cache.c \
	src/admin/show_config.c \
	src/admin/show_conns.c \
	src/admin/show_hosts.c \
	src/admin/show_pins.c \
	src/admin/show_pools.c \
	src/admin/show_stats.c \
	src/admin/snapshot.c src/admin/snapshot.h src/admin/source.h \
	src/admin/window.c src/admin/window.h
