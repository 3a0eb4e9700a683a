# SPDX-License-Identifier: PostgreSQL
# Samples, installed as examples: nothing here overwrites a configuration in use.

dist_examples_DATA += \
	etc/kubernetes.ini \
	etc/minimal.ini \
	etc/pg_hba.conf \
	etc/pgweir.ini \
	etc/pgweir.service \
	etc/userlist.txt
