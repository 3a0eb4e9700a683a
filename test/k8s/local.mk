# SPDX-License-Identifier: PostgreSQL
#
# What checks the Kubernetes manifests: their text, then across files, then the pods for real, then the images.
# Each part runs whatever the others found; the status tells of all.

.PHONY: check-k8s
check-k8s: all
	status=0; \
	$(top_srcdir)/test/k8s/text || status=1; \
	$(top_srcdir)/test/k8s/check || status=1; \
	PGWEIR=$(abs_builddir)/pgweir $(top_srcdir)/test/k8s/run || status=1; \
	$(top_srcdir)/test/k8s/images || status=1; \
	exit $$status
