# SPDX-License-Identifier: PostgreSQL
# Manual pages and documents that are installed.
