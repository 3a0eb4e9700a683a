# SPDX-License-Identifier: PostgreSQL
# Unit tests of src/net/: one Criterion program per back end, one test_<file>.c per source.

if HAVE_CRITERION
check_PROGRAMS += test/unit/net/test_net
test_unit_net_test_net_SOURCES = \
	test/unit/net/peer.c \
	test/unit/net/peer.h \
	test/unit/net/test_conn.c \
	test/unit/net/test_conn_model.c \
	test/unit/net/test_conn_read.c \
	test/unit/net/test_conn_write.c \
	test/unit/net/test_http.c \
	test/unit/net/test_http_parse.c \
	test/unit/net/test_listener.c \
	test/unit/net/test_loop.c \
	test/unit/net/test_loop_timer.c \
	test/unit/net/test_mailbox.c \
	test/unit/net/test_resolver.c \
	test/unit/net/test_tls.c \
	test/unit/net/tls_files.c \
	test/unit/net/tls_files.h
test_unit_net_test_net_CPPFLAGS = $(TEST_CPPFLAGS)
test_unit_net_test_net_LDADD = $(TEST_LIBS_2)

if HAVE_LIBURING
check_PROGRAMS += test/unit/net/test_net_ring
test_unit_net_test_net_ring_SOURCES = \
	$(test_unit_net_test_net_SOURCES) \
	test/unit/net/test_ring.c \
	test/unit/net/test_ring_full.c
test_unit_net_test_net_ring_CPPFLAGS = $(TEST_CPPFLAGS) -DNET_TEST_BACKEND=LOOP_RING
test_unit_net_test_net_ring_LDADD = $(TEST_LIBS_2)
endif
endif
