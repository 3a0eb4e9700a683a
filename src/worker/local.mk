# SPDX-License-Identifier: PostgreSQL
# Sources of src/worker/, headers and tables included.

noinst_LIBRARIES += src/worker/libworker.a
src_worker_libworker_a_SOURCES = \
	src/worker/accept.c src/worker/accept.h \
	src/worker/background.c src/worker/background.h \
	src/worker/broadcast.c src/worker/broadcast.h \
	src/worker/cache_setup.c src/worker/cache_setup.h \
	src/worker/console.c src/worker/console.h \
	src/worker/console_orders.c \
	src/worker/console_rows.c \
	src/worker/console_source.c src/worker/console_source.h \
	src/worker/control.c src/worker/control.h src/worker/control_priv.h \
	src/worker/credentials.c src/worker/credentials.h \
	src/worker/explain.c src/worker/explain.h \
	src/worker/loops.c src/worker/loops.h \
	src/worker/pidfile.c src/worker/pidfile.h \
	src/worker/remote.c src/worker/remote.h \
	src/worker/signals.c src/worker/signals.h \
	src/worker/supervisor.c src/worker/supervisor.h \
	src/worker/worker.c src/worker/worker.h
