# SPDX-License-Identifier: PostgreSQL
# Sources of src/proxy/, headers and tables included.

noinst_LIBRARIES += src/proxy/libproxy.a
src_proxy_libproxy_a_SOURCES = \
	src/proxy/answer.c src/proxy/answer.h \
	src/proxy/authenticate.c src/proxy/authenticate.h \
	src/proxy/backend.c src/proxy/backend.h \
	src/proxy/bring.c src/proxy/bring.h \
	src/proxy/cached.c src/proxy/cached.h \
	src/proxy/cancel.c src/proxy/cancel.h \
	src/proxy/client.c src/proxy/client.h src/proxy/client_state.h \
	src/proxy/client_log.c src/proxy/client_log.h \
	src/proxy/defaults.c src/proxy/defaults.h \
	src/proxy/failure.c src/proxy/failure.h \
	src/proxy/forward.c src/proxy/forward.h \
	src/proxy/gate.c src/proxy/gate.h \
	src/proxy/hosts.c src/proxy/hosts.h \
	src/proxy/gauges.c src/proxy/gauges.h \
	src/proxy/hear.c src/proxy/hear.h \
	src/proxy/held.c src/proxy/held.h \
	src/proxy/unnamed.c src/proxy/unnamed.h \
	src/proxy/keep.c src/proxy/keep.h \
	src/proxy/keydata.c \
	src/proxy/keydata.h \
	src/proxy/link.c src/proxy/link.h \
	src/proxy/listen.c src/proxy/listen.h src/proxy/listen_priv.h \
	src/proxy/local.c src/proxy/local.h \
	src/proxy/login.c src/proxy/login.h src/proxy/login_priv.h \
	src/proxy/options.c src/proxy/options.h \
	src/proxy/orphan.c src/proxy/orphan.h \
	src/proxy/pins.c src/proxy/pins.h \
	src/proxy/plan.c src/proxy/plan.h \
	src/proxy/proxy.c src/proxy/proxy.h \
	src/proxy/replication.c src/proxy/replication.h \
	src/proxy/request.c src/proxy/request.h \
	src/proxy/rewrite.c src/proxy/rewrite.h \
	src/proxy/serve.c src/proxy/serve.h \
	src/proxy/settings.c src/proxy/settings.h src/proxy/shared.h \
	src/proxy/switches.c src/proxy/switches.h \
	src/proxy/tenant.c src/proxy/tenant.h \
	src/proxy/track.c src/proxy/track.h \
	src/proxy/transfer.c src/proxy/transfer.h \
	src/proxy/unpin.c src/proxy/unpin.h \
	src/proxy/upkeep.c \
	src/proxy/vacate.c src/proxy/vacate.h
