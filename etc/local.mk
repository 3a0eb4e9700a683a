# SPDX-License-Identifier: PostgreSQL
# Samples that are installed.
