/* SPDX-License-Identifier: PostgreSQL */
/*
 * Lists of hosts, see hostlist.h.
 */
#include "config/hostlist.h"

#include <stdio.h>

#include "config/config.h"
#include "config/connstr.h"

unsigned hostlist_count(const char *list)
{
	struct slice rest = slice_str(list), item;
	unsigned count = 0;

	while (config_list_next(&rest, &item))
		count++;
	return count;
}

void hostlist_pick(const char *list, uint16_t default_port, unsigned turn,
                   struct hostlist_item *out)
{
	struct slice rest = slice_str(list), item = slice_of("", 0), host = item;
	unsigned count = hostlist_count(list);

	for (unsigned i = 0; count && i <= turn % count; i++)
		(void)config_list_next(&rest, &item);
	if (!endpoint_split(item, default_port, &host, &out->port))
		out->port = default_port;
	(void)snprintf(out->host, sizeof out->host, "%.*s", (int)host.len, host.ptr);
}
