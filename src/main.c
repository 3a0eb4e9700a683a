/* SPDX-License-Identifier: PostgreSQL */
/*
 * The daemon's entry: arguments first, then the start-up order and its exact
 * reverse. Runs on the main thread, which is the control plane.
 */
#include <stdio.h>
#include <string.h>

#include "pgweir/version.h"

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		printf("pgweir %s\n", PGWEIR_VERSION);
		return 0;
	}
	fprintf(stderr, "usage: pgweir --version\n");
	return 2;
}
