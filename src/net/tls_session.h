/* SPDX-License-Identifier: PostgreSQL */
/*
 * The bytes of a TLS session, over a non-blocking socket or, where a ring
 * carries them, in memory. For conn*.c only; the connection decides when to
 * call and what to wait for. One thread at a time; an idle session may move to
 * another thread.
 */
#ifndef WEIR_NET_TLS_SESSION_H
#define WEIR_NET_TLS_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/slice.h"
#include "net/tls.h"

struct loop;

/* Results below 0 of read, write and handshake. */
enum tls_want {
	TLS_WANT_READ = -1,
	TLS_WANT_WRITE = -2,
	TLS_CLOSED = -3,
	TLS_FAILED = -4, /* logged */
};

/* host: for SNI and verify-full, borrowed; NULL on the server side. NULL: it failed. */
struct tls_session *tls_session_create(struct tls_context *context, int fd, const char *host);
void tls_session_destroy(
	struct tls_session *session); /* sends close_notify if the socket takes it */

int tls_session_handshake(struct tls_session *session); /* 0: done */
/* Its first step, with what was read of the socket before. */
int tls_session_hello(struct tls_session *session, struct slice first);
/* It may be put away while it isn't used, by the loop whose thread uses it; until it leaves. */
void tls_session_enter(struct tls_session *session, struct loop *loop);
void tls_session_leave(struct tls_session *session);
ssize_t tls_session_read(struct tls_session *session, void *out, size_t size);
/* A write that wants to be repeated must be repeated with the same bytes in front. */
ssize_t tls_session_write(struct tls_session *session, const void *bytes, size_t len);
bool tls_session_has_pending(const struct tls_session *session); /* read without the socket */

/*
 * Reads what *records, received by a ring, hold, and takes away from them what was looked at: all
 * of it once TLS_WANT_READ is the result. The socket isn't read.
 */
ssize_t tls_session_open(struct tls_session *session, struct slice *records, void *out,
                         size_t size);
/* The records that carry all of `bytes` go to out, which has the room for as many; their length. */
ssize_t tls_session_seal(struct tls_session *session, struct slice bytes, char *out, size_t room);
size_t tls_session_seal_room(size_t len);
/* Records sealed before wait for the socket: meanwhile nothing is written to it, and reading may
 * end with TLS_WANT_WRITE. */
void tls_session_hold(struct tls_session *session, bool is_held);
/* Records sealed before will never be sent, so nothing may follow them, close_notify neither. */
void tls_session_cut(struct tls_session *session);

#endif
