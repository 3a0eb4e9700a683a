# SPDX-License-Identifier: PostgreSQL
# Sources of src/net/, headers and tables included.

noinst_LIBRARIES += src/net/libnet.a
src_net_libnet_a_SOURCES = \
	src/net/conn.c \
	src/net/conn_backlog.c \
	src/net/conn.h \
	src/net/conn_layout.h \
	src/net/conn_priv.h \
	src/net/conn_read.c \
	src/net/conn_tls.c \
	src/net/conn_write.c \
	src/net/http_client.c \
	src/net/http_client.h \
	src/net/http_parse.c \
	src/net/http_parse.h \
	src/net/http_server.c \
	src/net/http_server.h \
	src/net/listener.c \
	src/net/listener.h \
	src/net/loop.c \
	src/net/loop.h \
	src/net/loop_priv.h \
	src/net/loop_timer.c \
	src/net/mailbox.c \
	src/net/mailbox.h \
	src/net/poll.c \
	src/net/poll.h \
	src/net/resolver.c \
	src/net/resolver.h \
	src/net/ring.h \
	src/net/socket.c \
	src/net/socket.h \
	src/net/tls.c \
	src/net/tls.h \
	src/net/tls_priv.h \
	src/net/tls_rest.c \
	src/net/tls_rest.h \
	src/net/tls_session.c \
	src/net/tls_session.h \
	src/net/tls_store.c \
	src/net/tls_store.h \
	src/net/tls_wire.c \
	src/net/tls_wire.h \
	src/net/watch.c \
	src/net/watch.h

if HAVE_LIBURING
src_net_libnet_a_SOURCES += \
	src/net/ring.c \
	src/net/ring_priv.h \
	src/net/ring_probe.c \
	src/net/ring_wait.c
else
src_net_libnet_a_SOURCES += src/net/ring_absent.c
endif
