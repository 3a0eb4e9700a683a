/* SPDX-License-Identifier: PostgreSQL */
/*
 * See console.h.
 */
#include "worker/console.h"

#include "base/buf.h"
#include "proxy/client.h"
#include "wire/build.h"
#include "worker/control_priv.h"

void console_open(struct control *c)
{
	(void)c;
}

int console_open_http(struct control *c, char *why, size_t why_size)
{
	(void)c;
	(void)why;
	(void)why_size;
	return 0;
}

void console_close(struct control *c)
{
	(void)c;
}

void console_hook(void *ctx, struct proxy *proxy, struct client *client, struct slice sql)
{
	(void)ctx;
	(void)proxy;
	(void)sql;
	client_console_reply(client, wire_empty_query);
}
