# SPDX-License-Identifier: PostgreSQL
# Sources of src/tier/, headers and tables included.

noinst_LIBRARIES += src/tier/libtier.a
src_tier_libtier_a_SOURCES = \
	src/tier/catalog.h \
	src/tier/tier.h \
	src/tier/topology.h
