/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a TLS session reads from and writes to: the socket, or memory where a
 * ring carries the bytes. Embedded in its session; its kind of BIO belongs to
 * the context. For tls.c and tls_session.c alone.
 *
 *   reading   from `input`, and then, unless it is_fed, from the socket
 *   writing   to the socket, or behind out[out_len) while `out` is set; while
 *             is_held nothing, since older bytes still wait for the socket
 */
#ifndef WEIR_NET_TLS_WIRE_H
#define WEIR_NET_TLS_WIRE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

struct bio_st;
struct bio_method_st;

struct tls_wire {
	int fd; /* borrowed: the connection's */
	bool is_eof;
	bool is_fed;
	bool is_held;
	struct slice input; /* borrowed for the call */
	char *out;          /* borrowed for the call; NULL: the socket */
	size_t out_len, out_cap;
};

struct bio_method_st *tls_wire_kind(void); /* owned by the caller; NULL: no memory */
void tls_wire_kind_free(struct bio_method_st *kind);
/* Owned by the caller; wire and kind outlive it. NULL: no memory. */
struct bio_st *tls_wire_bio(struct tls_wire *wire, const struct bio_method_st *kind);

#endif
