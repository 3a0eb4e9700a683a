/* SPDX-License-Identifier: PostgreSQL */
/*
 * Brings console queries of workers' clients to admin/ on the control thread
 * and the answers back, gives admin/ its data, and opens the HTTP pages.
 */
#ifndef WEIR_WORKER_CONSOLE_H
#define WEIR_WORKER_CONSOLE_H

#include <stddef.h>

#include "base/slice.h"

struct client;
struct control;
struct proxy;

void console_open(struct control *c);
int console_open_http(struct control *c, char *why, size_t why_size); /* 0, or -1 and `why` */
void console_close(struct control *c);
/* proxy_hooks.console; on a worker's thread. */
void console_hook(void *ctx, struct proxy *proxy, struct client *client, struct slice sql);

#endif
