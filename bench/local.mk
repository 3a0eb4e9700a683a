# SPDX-License-Identifier: PostgreSQL
# Benchmark helpers written in C.
