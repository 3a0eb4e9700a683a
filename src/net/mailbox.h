/* SPDX-License-Identifier: PostgreSQL */
/*
 * Messages to a loop from any thread: an intrusive list, a mutex and an
 * eventfd; the receiver drains all in one wake-up. The eventfd is written only
 * when the list was empty.
 */
#ifndef WEIR_NET_MAILBOX_H
#define WEIR_NET_MAILBOX_H

#include "base/list.h"

struct loop;
struct mailbox;

struct mail {
	struct list_node node;
	/* Runs on the receiver's loop and owns the mail from there. */
	void (*deliver)(struct mail *mail, void *receiver);
};

struct mailbox *mailbox_create(struct loop *loop, void *receiver);
void mailbox_destroy(struct mailbox *mailbox); /* undelivered mail is delivered first */
void mailbox_post(struct mailbox *mailbox, struct mail *mail); /* any thread; consumes the mail */

#endif
