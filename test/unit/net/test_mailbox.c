/* SPDX-License-Identifier: PostgreSQL */
/*
 * Mail across threads: everything arrives once, in each sender's order.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>

#include "net/mailbox.h"
#include "net/loop_priv.h"
#include "peer.h"

enum { SENDERS = 4, MAILS = 5000 };

struct numbered {
	struct mail mail;
	int sender, number;
};

struct receiver {
	struct loop *loop;
	int last[SENDERS];
	int total, out_of_order;
};

struct sender {
	struct mailbox *mailbox;
	int id;
};

static void deliver(struct mail *mail, void *arg)
{
	struct numbered *n = (struct numbered *)(void *)mail;
	struct receiver *r = arg;

	if (n->number != r->last[n->sender] + 1)
		r->out_of_order++;
	r->last[n->sender] = n->number;
	free(n);
	if (++r->total == SENDERS * MAILS)
		loop_stop(r->loop);
}

static void post(struct mailbox *mailbox, int sender, int number)
{
	struct numbered *n = calloc(1, sizeof(*n));

	n->mail.deliver = deliver;
	n->sender = sender;
	n->number = number;
	mailbox_post(mailbox, &n->mail);
}

static void *send_all(void *arg)
{
	struct sender *s = arg;

	for (int i = 1; i <= MAILS; i++)
		post(s->mailbox, s->id, i);
	return NULL;
}

Test(mailbox, everything_arrives_in_order, .timeout = 60)
{
	struct receiver r = { .loop = peer_loop() };
	struct mailbox *mailbox = mailbox_create(r.loop, &r);
	pthread_t threads[SENDERS];
	struct sender senders[SENDERS];

	for (int i = 0; i < SENDERS; i++) {
		senders[i] = (struct sender){ mailbox, i };
		pthread_create(&threads[i], NULL, send_all, &senders[i]);
	}
	loop_run(r.loop);
	for (int i = 0; i < SENDERS; i++)
		pthread_join(threads[i], NULL);
	cr_assert_eq(r.total, SENDERS * MAILS);
	cr_assert_eq(r.out_of_order, 0);
	mailbox_destroy(mailbox);
	loop_destroy(r.loop);
}

Test(mailbox, destroying_delivers_what_is_left)
{
	struct receiver r = { .loop = peer_loop() };
	struct mailbox *mailbox = mailbox_create(r.loop, &r);

	post(mailbox, 0, 1);
	post(mailbox, 0, 2);
	mailbox_destroy(mailbox);
	cr_assert_eq(r.total, 2);
	loop_destroy(r.loop);
}
