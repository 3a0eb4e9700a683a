/* SPDX-License-Identifier: PostgreSQL */
/*
 * OpenSSL's view of a wire, a BIO of our own kind. What can't be read or
 * written now is told as OpenSSL's socket BIO tells it: -1, and the flag to
 * try again.
 */
#include "net/tls_wire.h"

#include <errno.h>
#include <openssl/bio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/assert.h"

static bool is_to_retry(void)
{
	return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

/* --- reading --- */

static int read_input(struct tls_wire *w, BIO *bio, char *at, size_t room)
{
	size_t len = w->input.len < room ? w->input.len : room;

	if (len == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	memcpy(at, w->input.ptr, len);
	w->input = slice_of(w->input.ptr + len, w->input.len - len);
	return (int)len;
}

static int on_read(BIO *bio, char *at, int room)
{
	struct tls_wire *w = BIO_get_data(bio);
	ssize_t got;

	BIO_clear_retry_flags(bio);
	if (room <= 0)
		return 0;
	if (w->is_fed || w->input.len > 0)
		return read_input(w, bio, at, (size_t)room);
	got = recv(w->fd, at, (size_t)room, 0);
	if (got < 0 && is_to_retry())
		BIO_set_retry_read(bio);
	w->is_eof = got == 0;
	return (int)got;
}

/* --- writing --- */

static int write_out(struct tls_wire *w, const char *bytes, size_t len)
{
	WEIR_ASSERT(len <= w->out_cap - w->out_len); /* tls_session_seal_room */
	memcpy(w->out + w->out_len, bytes, len);
	w->out_len += len;
	return (int)len;
}

static int on_write(BIO *bio, const char *bytes, int len)
{
	struct tls_wire *w = BIO_get_data(bio);
	ssize_t sent;

	BIO_clear_retry_flags(bio);
	if (len <= 0)
		return 0;
	if (w->out)
		return write_out(w, bytes, (size_t)len);
	if (w->is_held) {
		BIO_set_retry_write(bio);
		return -1;
	}
	sent = send(w->fd, bytes, (size_t)len, MSG_NOSIGNAL);
	if (sent < 0 && is_to_retry())
		BIO_set_retry_write(bio);
	return (int)sent;
}

/* --- the kind --- */

static long on_ctrl(BIO *bio, int what, long number, void *arg)
{
	struct tls_wire *w = BIO_get_data(bio);

	(void)number;
	(void)arg;
	switch (what) {
	case BIO_CTRL_FLUSH: /* nothing is held back here */
		return 1;
	case BIO_CTRL_EOF:
		return w->is_eof;
	default:
		return 0;
	}
}

struct bio_method_st *tls_wire_kind(void)
{
	BIO_METHOD *kind = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "wire");

	if (kind && BIO_meth_set_read(kind, on_read) && BIO_meth_set_write(kind, on_write) &&
	    BIO_meth_set_ctrl(kind, on_ctrl))
		return kind;
	BIO_meth_free(kind);
	return NULL;
}

void tls_wire_kind_free(struct bio_method_st *kind)
{
	BIO_meth_free(kind);
}

struct bio_st *tls_wire_bio(struct tls_wire *wire, const struct bio_method_st *kind)
{
	BIO *bio = BIO_new(kind);

	if (!bio)
		return NULL;
	BIO_set_data(bio, wire);
	BIO_set_init(bio, 1);
	return bio;
}
