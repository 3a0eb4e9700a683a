# SPDX-License-Identifier: PostgreSQL
# Benchmark helpers written in C: the floor and the server that costs nothing.

noinst_PROGRAMS += bench/relay bench/nullpg
bench_relay_SOURCES = bench/relay.c
bench_nullpg_SOURCES = bench/nullpg.c bench/nullpg_say.c bench/nullpg.h
