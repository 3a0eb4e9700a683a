# SPDX-License-Identifier: PostgreSQL
# Scripts of the build, and the targets that run them.
