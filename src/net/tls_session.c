/* SPDX-License-Identifier: PostgreSQL */
/*
 * One TLS session by OpenSSL, over a non-blocking socket or over bytes that a
 * ring carries (tls_wire.c). Read-ahead takes header and body of a record in
 * one recv(2), and released buffers make an idle session small. Written pieces
 * may be retried from another address, since the connection copies them to its
 * backlog.
 *
 * One thread at a time.
 */
#include "net/tls_session.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/tls_priv.h"
#include "net/tls_rest.h"
#include "net/tls_store.h"
#include "net/tls_wire.h"

enum {
	TLS_MAGIC = 0x746c7373,
	TLS_REASON_MAX = 256,
	TLS_FRAGMENT_MIN = 512, /* the shortest records that a peer may ask for: RFC 6066, section 4 */
	TLS_OVERHEAD_MAX = 512, /* what a record adds at most, with room to spare */
};

struct tls_session {
	unsigned magic;
	bool is_ready;               /* the handshake is done; OpenSSL forgets that with an error */
	bool is_broken;              /* after a fatal error nothing may be sent, close_notify neither */
	struct tls_context *context; /* counted */
	SSL *object;                 /* owned; others ask ssl_of for it, since it may be away */
	struct tls_rest rest;
	const char *version, *cipher; /* static; once the handshake is done */
	struct tls_wire wire;
};

static SSL *ssl_of(const struct tls_session *s)
{
	tls_rest_wake(&((struct tls_session *)(uintptr_t)s)->rest); /* sessions live on the heap */
	return s->object;
}

static bool is_numeric_host(const char *host)
{
	unsigned char addr[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, host, addr) == 1 || inet_pton(AF_INET6, host, addr) == 1;
}

/* SNI carries names only (RFC 6066, section 3); the check takes names and addresses. */
static bool set_host(struct tls_session *s, const char *host)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl_of(s));
	bool is_number = is_numeric_host(host);

	if (!is_number && SSL_set_tlsext_host_name(ssl_of(s), host) != 1)
		return false;
	if (tls_context_mode(s->context) != TLS_MODE_VERIFY_FULL)
		return true;
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (is_number)
		return X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1;
	return X509_VERIFY_PARAM_set1_host(param, host, 0) == 1;
}

static bool session_prepare(struct tls_session *s, const char *host)
{
	bool is_client = tls_context_side(s->context) == TLS_SIDE_CLIENT;
	BIO *bio = tls_wire_bio(&s->wire, tls_context_wire(s->context));

	if (!bio)
		return false;
	SSL_set_bio(ssl_of(s), bio, bio);
	if (!is_client) {
		SSL_set_accept_state(ssl_of(s));
		return true;
	}
	SSL_set_connect_state(ssl_of(s));
	if (host && host[0])
		return set_host(s, host);
	return tls_context_mode(s->context) != TLS_MODE_VERIFY_FULL;
}

struct tls_session *tls_session_create(struct tls_context *context, int fd, const char *host)
{
	struct tls_session *s = mem_zalloc(sizeof(*s));

	s->magic = TLS_MAGIC;
	s->context = tls_context_get(context);
	s->wire.fd = fd;
	ERR_clear_error();
	tls_store_expect(true);
	s->object = SSL_new(tls_context_ssl(context));
	tls_store_expect(false);
	if (s->object && session_prepare(s, host))
		return s;
	s->is_broken = true;
	tls_session_destroy(s);
	return NULL;
}

void tls_session_destroy(struct tls_session *s)
{
	WEIR_CHECK_MAGIC(s, TLS_MAGIC);
	tls_rest_end(&s->rest);
	if (s->object) {
		ERR_clear_error();
		if (!s->is_broken && s->is_ready)
			SSL_shutdown(s->object);
		SSL_free(s->object);
		ERR_clear_error();
	}
	tls_context_put(&s->context);
	s->magic = 0;
	mem_free(s);
}

/* --- bytes --- */

/* What others left behind would be taken for ours. Clearing costs four times as much as looking. */
static void forget_errors(void)
{
	if (ERR_peek_error() != 0)
		ERR_clear_error();
}

static void log_failure(const struct tls_session *s, const char *step)
{
	unsigned long code = ERR_peek_error();
	long verdict = SSL_get_verify_result(ssl_of(s));
	char reason[TLS_REASON_MAX];

	if (code == 0)
		snprintf(reason, sizeof(reason), "connection lost, errno %d", errno);
	else
		ERR_error_string_n(code, reason, sizeof(reason));
	log_info("tls_failed", "step=%s reason=\"%s\" certificate=\"%s\"", step, reason,
	         X509_verify_cert_error_string(verdict));
}

/* What a call that returned `rc` has to wait for, or how it ended. */
static enum tls_want want_of(struct tls_session *s, int rc, const char *step)
{
	switch (SSL_get_error(ssl_of(s), rc)) {
	case SSL_ERROR_WANT_READ:
		return TLS_WANT_READ;
	case SSL_ERROR_WANT_WRITE:
		return TLS_WANT_WRITE;
	case SSL_ERROR_ZERO_RETURN:
		return TLS_CLOSED;
	case SSL_ERROR_SYSCALL:
		s->is_broken = true;
		if (s->is_ready)
			return TLS_CLOSED;
		break;
	default:
		s->is_broken = true;
		if (s->is_ready &&
		    ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
			return TLS_CLOSED;
		break;
	}
	log_failure(s, step);
	return TLS_FAILED;
}

int tls_session_handshake(struct tls_session *s)
{
	int rc;

	forget_errors();
	rc = SSL_do_handshake(ssl_of(s));
	if (rc != 1)
		return (int)want_of(s, rc, "handshake");
	s->is_ready = true;
	s->version = SSL_get_version(s->object);
	s->cipher = SSL_get_cipher_name(s->object);
	return 0;
}

/* It asks for more when it has taken all, so only a peer who doesn't read leaves some over. */
int tls_session_hello(struct tls_session *s, struct slice first)
{
	int rc;

	s->wire.input = first;
	rc = tls_session_handshake(s);
	if (s->wire.input.len > 0 && !s->is_broken) {
		log_info("tls_failed", "step=hello reason=\"%zu bytes too many\"", s->wire.input.len);
		s->is_broken = true;
		rc = TLS_FAILED;
	}
	s->wire.input = slice_of(NULL, 0);
	return rc;
}

ssize_t tls_session_read(struct tls_session *s, void *out, size_t size)
{
	int rc;

	forget_errors();
	rc = SSL_read(ssl_of(s), out, size > INT_MAX ? INT_MAX : (int)size);
	return rc > 0 ? rc : (ssize_t)want_of(s, rc, "read");
}

ssize_t tls_session_write(struct tls_session *s, const void *bytes, size_t len)
{
	int rc;

	forget_errors();
	rc = SSL_write(ssl_of(s), bytes, len > INT_MAX ? INT_MAX : (int)len);
	return rc > 0 ? rc : (ssize_t)want_of(s, rc, "write");
}

/* --- bytes that a ring carries --- */

ssize_t tls_session_open(struct tls_session *s, struct slice *records, void *out, size_t size)
{
	ssize_t got;

	s->wire.input = *records;
	s->wire.is_fed = true;
	got = tls_session_read(s, out, size);
	*records = s->wire.input;
	s->wire.is_fed = false;
	s->wire.input = slice_of(NULL, 0);
	return got;
}

size_t tls_session_seal_room(size_t len)
{
	/* And two records that go before: an answer to the peer's new keys, an alert. */
	return len + (len / TLS_FRAGMENT_MIN + 3) * TLS_OVERHEAD_MAX;
}

ssize_t tls_session_seal(struct tls_session *s, struct slice bytes, char *out, size_t room)
{
	ssize_t sealed = 0;

	s->wire.out = out;
	s->wire.out_len = 0;
	s->wire.out_cap = room;
	while (bytes.len > 0 && sealed >= 0) {
		sealed = tls_session_write(s, bytes.ptr, bytes.len);
		if (sealed > 0)
			bytes = slice_of(bytes.ptr + sealed, bytes.len - (size_t)sealed);
	}
	s->wire.out = NULL;
	return sealed < 0 ? sealed : (ssize_t)s->wire.out_len;
}

void tls_session_hold(struct tls_session *s, bool is_held)
{
	s->wire.is_held = is_held;
}

void tls_session_cut(struct tls_session *s)
{
	s->is_broken = true;
}

/* --- rest --- */

void tls_session_enter(struct tls_session *s, struct loop *loop)
{
	tls_rest_begin(&s->rest, loop, s->object);
}

void tls_session_leave(struct tls_session *s)
{
	tls_rest_end(&s->rest);
}

/* --- what it tells --- */

bool tls_session_has_pending(const struct tls_session *s)
{
	return SSL_has_pending(ssl_of(s)) == 1;
}

/* MD5 and SHA-1 are replaced by SHA-256, as RFC 5929 demands. */
static const EVP_MD *endpoint_digest(X509 *cert)
{
	int digest = NID_undef;

	if (X509_get_signature_info(cert, &digest, NULL, NULL, NULL) != 1)
		return NULL;
	if (digest == NID_md5 || digest == NID_sha1)
		return EVP_sha256();
	return digest == NID_undef ? NULL : EVP_get_digestbynid(digest);
}

size_t tls_endpoint(const struct tls_session *s, uint8_t out[TLS_ENDPOINT_MAX_BYTES])
{
	bool is_client = tls_context_side(s->context) == TLS_SIDE_CLIENT;
	X509 *cert = is_client ? SSL_get0_peer_certificate(ssl_of(s)) : SSL_get_certificate(ssl_of(s));
	const EVP_MD *digest = cert ? endpoint_digest(cert) : NULL;
	unsigned char bytes[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (!digest || X509_digest(cert, digest, bytes, &len) != 1 || len > TLS_ENDPOINT_MAX_BYTES) {
		ERR_clear_error();
		return 0;
	}
	memcpy(out, bytes, len);
	return len;
}

bool tls_peer_is_verified(const struct tls_session *s)
{
	return tls_context_verifies(s->context) && SSL_get0_peer_certificate(ssl_of(s)) &&
	       SSL_get_verify_result(ssl_of(s)) == X509_V_OK;
}

bool tls_peer_is_refused(const struct tls_session *s)
{
	return SSL_get_verify_result(ssl_of(s)) != X509_V_OK;
}

bool tls_peer_name(const struct tls_session *s, char *out, size_t size)
{
	X509_NAME *subject;
	const ASN1_STRING *name;
	int at, len;

	if (!tls_peer_is_verified(s))
		return false;
	subject = X509_get_subject_name(SSL_get0_peer_certificate(ssl_of(s)));
	at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0)
		return false;
	name = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
	len = ASN1_STRING_length(name);
	if (len <= 0 || (size_t)len >= size || memchr(ASN1_STRING_get0_data(name), 0, (size_t)len))
		return false;
	memcpy(out, ASN1_STRING_get0_data(name), (size_t)len);
	out[len] = '\0';
	return true;
}

bool tls_has_alpn(const struct tls_session *s)
{
	const unsigned char *name;
	unsigned len;

	SSL_get0_alpn_selected(ssl_of(s), &name, &len);
	return len > 0; /* the context knows one name only */
}

const char *tls_version(const struct tls_session *s)
{
	return s->version;
}

const char *tls_cipher(const struct tls_session *s)
{
	return s->cipher;
}
