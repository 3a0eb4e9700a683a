/* SPDX-License-Identifier: PostgreSQL */
/*
 * Host names to socket addresses. getaddrinfo runs in one helper thread;
 * answers are cached for a time and come back through the asker's mailbox.
 * Numeric addresses and Unix paths need neither. One resolver per process,
 * called from any thread; its short mutex guards cache and queue.
 */
#ifndef WEIR_NET_RESOLVER_H
#define WEIR_NET_RESOLVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"
#include "net/mailbox.h"

struct resolver;
struct resolver_query;

enum { RESOLVED_MAX = 8, RESOLVER_HOST_MAX = 255 };

struct resolved {
	unsigned count;
	struct {
		struct sockaddr_storage addr;
		socklen_t len;
	} at[RESOLVED_MAX];
};

/* err: WEIR_OK, WEIR_ERR_RESOLVE. `resolved` is borrowed for the call. */
typedef void resolver_done_fn(void *arg, enum weir_err err, const struct resolved *resolved);

struct resolver *resolver_create(uint64_t ttl_us, uint64_t failed_ttl_us);
void resolver_destroy(struct resolver *resolver); /* waits for the look-up under way */
void resolver_set_ttl(struct resolver *resolver, uint64_t ttl_us, uint64_t failed_ttl_us);

/*
 * Answers at once for numbers, Unix socket directories ('/' or '@' in front: the socket's
 * name is made with the port) and fresh cache entries. WEIR_ERR_AGAIN: use resolver_ask.
 */
enum weir_err resolver_try(struct resolver *resolver, const char *host, uint16_t port,
                           struct resolved *resolved) WEIR_MUST_CHECK;

/* on_done is called once from the mailbox's loop, never from inside this call, unless cancelled. */
struct resolver_query *resolver_ask(struct resolver *resolver, struct mailbox *mailbox,
                                    const char *host, uint16_t port, resolver_done_fn *on_done,
                                    void *arg);
void resolver_cancel(struct resolver_query *query); /* the mailbox's thread, before on_done */

/* Grows when a known name has got other addresses. A failed look-up changes nothing. */
uint64_t resolver_changes(const struct resolver *resolver);
/* False: the host is a name, and the last look-up that succeeded didn't give this address. */
bool resolver_has(struct resolver *resolver, const char *host,
                  const struct sockaddr_storage *addr);
/* Looks a known name up again when the last time is that long ago; nobody waits for it. */
void resolver_refresh(struct resolver *resolver, const char *host, uint64_t age_us);

struct resolver_host { /* a name in the cache */
	char name[RESOLVER_HOST_MAX + 1];
	bool is_pending;
	uint64_t ttl_us; /* it will be used for so long; 0: looked up when next asked for */
	struct resolved resolved; /* of the last look-up that succeeded */
};

/* An array of *count names, to be freed by mem_free. */
struct resolver_host *resolver_hosts(struct resolver *resolver, size_t *count);

#endif
