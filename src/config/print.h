/* SPDX-License-Identifier: PostgreSQL */
/*
 * A configuration as text, for --check, --print-config, --sample-config and
 * the console. No secret is ever among it. Pure but for the writing.
 */
#ifndef WEIR_CONFIG_PRINT_H
#define WEIR_CONFIG_PRINT_H

#include <stdio.h>

#include "config/config.h"

/* What --check says of a configuration that was loaded: a summary and the notes. */
void config_print_check(const struct config *cfg, FILE *out);
/* The effective configuration as an ini; secrets as ********. */
void config_print(const struct config *cfg, FILE *out);
/* etc/pgweir.ini: every option with its meaning, range and default, as comments. */
void config_print_sample(FILE *out);
/* docs/pgweir.ini.5: the same as a manual page. */
void config_print_manual(FILE *out);

#endif
