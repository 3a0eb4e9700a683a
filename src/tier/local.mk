# SPDX-License-Identifier: PostgreSQL
# Sources of src/tier/, headers and tables included.

noinst_LIBRARIES += src/tier/libtier.a
src_tier_libtier_a_SOURCES = \
	src/tier/auth_lookup.c \
	src/tier/auth_lookup.h \
	src/tier/auth_query.c \
	src/tier/auth_query.h \
	src/tier/builtin.def \
	src/tier/catalog.c \
	src/tier/catalog.h \
	src/tier/catalog_build.c \
	src/tier/catalog_build.h \
	src/tier/catalog_priv.h \
	src/tier/catalog_reader.c \
	src/tier/catalog_reader.h \
	src/tier/catalog_sql.c \
	src/tier/catalog_sql.h \
	src/tier/channels.c \
	src/tier/channels.h \
	src/tier/cluster.c \
	src/tier/cluster.h \
	src/tier/cluster_log.c \
	src/tier/cluster_log.h \
	src/tier/freshness.c \
	src/tier/freshness.h \
	src/tier/live.c \
	src/tier/live.h \
	src/tier/patroni.c \
	src/tier/patroni.h \
	src/tier/patroni_doc.c \
	src/tier/patroni_doc.h \
	src/tier/pg_session.c \
	src/tier/pg_session.h \
	src/tier/probe.c \
	src/tier/probe.h \
	src/tier/tier.c \
	src/tier/tier.h \
	src/tier/topology.c \
	src/tier/topology.h \
	src/tier/view.c \
	src/tier/view.h
