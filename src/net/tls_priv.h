/* SPDX-License-Identifier: PostgreSQL */
/*
 * What tls.c gives to tls_session.c about a context. For these two alone.
 */
#ifndef WEIR_NET_TLS_PRIV_H
#define WEIR_NET_TLS_PRIV_H

#include "net/tls.h"

struct ssl_ctx_st;
struct bio_method_st;

struct ssl_ctx_st *tls_context_ssl(const struct tls_context *context); /* borrowed */
const struct bio_method_st *tls_context_wire(const struct tls_context *context); /* borrowed */
enum tls_side tls_context_side(const struct tls_context *context);
bool tls_context_verifies(const struct tls_context *context); /* asks for the peer's certificate */

#endif
