/* SPDX-License-Identifier: PostgreSQL */
/*
 * Mail between threads: an intrusive list under a mutex, and an eventfd that
 * is written only when the list was empty. The receiver takes the whole list
 * in one step and delivers without the lock, so that delivering may post.
 */
#include "net/mailbox.h"

#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/loop.h"
#include "net/watch.h"

struct mailbox {
	pthread_mutex_t lock;
	struct list queue; /* under lock */
	int fd;            /* owned: eventfd */
	struct loop *loop; /* borrowed */
	struct watch watch;
	void *receiver; /* borrowed */
};

/* Moves everything out under the lock. list_init of `out` is done here. */
static void take_all(struct mailbox *mailbox, struct list *out)
{
	struct list_node *n;

	list_init(out);
	pthread_mutex_lock(&mailbox->lock);
	while ((n = list_pop(&mailbox->queue)))
		list_append(out, n);
	pthread_mutex_unlock(&mailbox->lock);
}

static void deliver_all(struct mailbox *mailbox)
{
	struct list mails;
	struct list_node *n;

	take_all(mailbox, &mails);
	while ((n = list_pop(&mails))) {
		struct mail *mail = list_entry(n, struct mail, node);

		mail->deliver(mail, mailbox->receiver);
	}
}

static void on_mail_event(int fd, short what, void *arg)
{
	uint64_t count;

	(void)what;
	/* Emptied before the list is taken: a post in between wakes us once more. */
	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return;
	deliver_all(arg);
}

struct mailbox *mailbox_create(struct loop *loop, void *receiver)
{
	struct mailbox *mailbox = mem_zalloc(sizeof(*mailbox));

	mailbox->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (mailbox->fd < 0) {
		mem_free(mailbox);
		return NULL;
	}
	pthread_mutex_init(&mailbox->lock, NULL);
	list_init(&mailbox->queue);
	mailbox->receiver = receiver;
	mailbox->loop = loop;
	watch_init(&mailbox->watch, loop,
	           (struct watch_spec){ mailbox->fd, WATCH_READ, on_mail_event, mailbox });
	watch_start(&mailbox->watch, loop);
	return mailbox;
}

void mailbox_destroy(struct mailbox *mailbox)
{
	if (!mailbox)
		return;
	deliver_all(mailbox);
	watch_stop(&mailbox->watch, mailbox->loop);
	close(mailbox->fd);
	WEIR_ASSERT(mailbox->queue.count == 0);
	pthread_mutex_destroy(&mailbox->lock);
	mem_free(mailbox);
}

void mailbox_post(struct mailbox *mailbox, struct mail *mail)
{
	uint64_t one = 1;
	bool was_empty;

	pthread_mutex_lock(&mailbox->lock);
	was_empty = mailbox->queue.count == 0;
	list_append(&mailbox->queue, &mail->node);
	pthread_mutex_unlock(&mailbox->lock);
	/* Fails only when the counter is full, and then the receiver is awake anyway. */
	if (was_empty && write(mailbox->fd, &one, sizeof(one)) < 0)
		WEIR_ASSERT(errno == EAGAIN);
}
