# SPDX-License-Identifier: PostgreSQL
#
# What checks the Kubernetes manifests: their text, then across files, then the pods for real.

.PHONY: check-k8s
check-k8s: all
	$(top_srcdir)/test/k8s/text
	$(top_srcdir)/test/k8s/check
	PGWEIR=$(abs_builddir)/pgweir $(top_srcdir)/test/k8s/run
