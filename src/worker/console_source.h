/* SPDX-License-Identifier: PostgreSQL */
/*
 * What admin/ reads and orders, over the control thread's objects and the
 * workers. Private to worker/.
 */
#ifndef WEIR_WORKER_CONSOLE_SOURCE_H
#define WEIR_WORKER_CONSOLE_SOURCE_H

#include "admin/source.h"

struct control;
struct proxy;

void console_source_init(struct admin_source *source, struct control *c);
/* A request whose console is gone: frees it. done_ctx is admin/'s, a struct admin_request. */
void console_abandon(void *done_ctx);
/* admin_source.act; ctx is the control. */
void console_order(void *ctx, const struct admin_order *order, admin_error_fn *done,
                   void *done_ctx);
void console_orders_abandon(struct control *c); /* the console closes */
/* A worker's rows; on its own thread. */
struct admin_part *console_rows(struct proxy *p, unsigned want);

#endif
