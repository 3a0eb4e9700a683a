/* SPDX-License-Identifier: PostgreSQL */
/*
 * A node that is a list of hosts: "h1,h2:7", as a host= of [databases] may have
 * it. The servers behind it are alike, each connection goes to one of them, and
 * whose turn it is the caller knows. A single host is a list of one. Pure.
 */
#ifndef WEIR_CONFIG_HOSTLIST_H
#define WEIR_CONFIG_HOSTLIST_H

#include <stdbool.h>
#include <stdint.h>

enum { HOSTLIST_BYTES_MAX = 1023, HOSTLIST_HOST_MAX = 255 };

struct hostlist_item {
	char host[HOSTLIST_HOST_MAX + 1]; /* name, address, /folder or @abstract */
	uint16_t port;
};

unsigned hostlist_count(const char *list);
/* The host of that turn, which may be any number; of a list that the configuration checked. */
void hostlist_pick(const char *list, uint16_t default_port, unsigned turn,
                   struct hostlist_item *out);

#endif
