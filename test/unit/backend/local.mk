# SPDX-License-Identifier: PostgreSQL
# Unit tests of k8s/apps/backend: one Criterion program, one test_<file>.c per source.
