/* SPDX-License-Identifier: PostgreSQL */
/*
 * What workers do for each other's pools: hand an idle server to the worker
 * whose client waits first, open or steal one as the ledger advises, make room.
 */
#ifndef WEIR_PROXY_TRANSFER_H
#define WEIR_PROXY_TRANSFER_H

#include "proxy/client.h"

/* An idle server goes to the waiter's worker at the turn's end; NULL: the waiter chooses again. */
void transfer_post(struct proxy *from, struct server *s, struct ledger_waiter *w);
/* A server that was about to move to another worker is closed instead. */
void transfer_lost(struct server *s);
/* So many servers kept for single clients become free, here or where others keep them. */
void transfer_give_up_kept(struct pool *pool, uint32_t count);
/* A limit grew: connections for those who wait already, as mails. */
void transfer_use_room(struct pool *pool);
/* Carries out what the ledger advises: open, take from another worker, make room. */
void transfer_follow(struct pool *pool, const struct ledger_advice *advice);

#endif
