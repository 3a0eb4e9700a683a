# SPDX-License-Identifier: PostgreSQL
"""Checks of the Kubernetes manifests that need no cluster; test/k8s/check runs them."""
