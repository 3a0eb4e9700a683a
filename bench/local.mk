# SPDX-License-Identifier: PostgreSQL
# Benchmark helpers written in C: the floor, the server that costs nothing, and clients by the thousand.

noinst_PROGRAMS += bench/relay bench/nullpg bench/crowd
bench_relay_SOURCES = bench/relay.c
bench_nullpg_SOURCES = bench/nullpg.c bench/nullpg_say.c bench/nullpg.h
bench_crowd_SOURCES = bench/crowd.c bench/crowd_login.c bench/crowd.h
bench_crowd_LDADD = $(WEIR_GROUP_BEGIN) $(WEIR_LIBS_3) $(WEIR_GROUP_END) $(WEIR_SYSTEM_LIBS)
