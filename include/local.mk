# SPDX-License-Identifier: PostgreSQL
# Public headers.

nodist_pgweirinclude_HEADERS += include/pgweir/version.h
