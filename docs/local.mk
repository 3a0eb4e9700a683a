# SPDX-License-Identifier: PostgreSQL
# Manual pages and documents that are installed.

dist_man_MANS += docs/pgweir.1 docs/pgweir.ini.5
