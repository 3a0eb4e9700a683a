# SPDX-License-Identifier: PostgreSQL
# Sources of src/net/, headers and tables included.

noinst_LIBRARIES += src/net/libnet.a
src_net_libnet_a_SOURCES = \
	src/net/conn.h \
	src/net/loop.h \
	src/net/mailbox.h
