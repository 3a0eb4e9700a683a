/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a worker is and has now, written into its block of metrics. Own thread.
 */
#ifndef WEIR_PROXY_GAUGES_H
#define WEIR_PROXY_GAUGES_H

struct proxy;

void gauges_publish(struct proxy *p); /* now and then, not per query */

#endif
