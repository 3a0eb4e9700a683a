/* SPDX-License-Identifier: PostgreSQL */
/*
 * Where the system keeps the certificates of the authorities that it trusts, for
 * a check of servers whose authority the configuration doesn't name.
 */
#ifndef WEIR_CONFIG_SYSTEM_CA_H
#define WEIR_CONFIG_SYSTEM_CA_H

const char *system_ca_file(void); /* static or the environment's; empty: none is found */

#endif
