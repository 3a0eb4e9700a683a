#!/bin/sh
# SPDX-License-Identifier: PostgreSQL
# Writes configure and Makefile.in. Needs autoconf, automake and pkg-config.
set -e
cd "$(dirname "$0")"
exec autoreconf -fi
