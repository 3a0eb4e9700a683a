/* SPDX-License-Identifier: PostgreSQL */
/*
 * TLS contexts: the configured files and lists, read once. A context is made
 * on the control thread at start and reload, never changes, and is counted by
 * every session, so that a reload swaps it under running connections.
 *
 * Modes have PostgreSQL's meaning. Towards servers: up to `require` encrypts
 * without looking at the certificate, `verify-ca` checks its chain, and
 * `verify-full` its name too. Towards clients: with a CA file a certificate
 * that is sent is checked; from `verify-ca` on one must be sent.
 */
#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "net/tls_priv.h"
#include "net/tls_wire.h"

#define TLS_SECURE_CIPHERS "HIGH:!aNULL:!eNULL:!MD5:!3DES:!PSK:!SRP:!CAMELLIA:!ARIA"

enum { TLS_TOKEN_MAX = 32, TLS_WHY_MAX = 200 };

/*
 * The longest record that clients get. libpq has room for that much at each read; the rest of a
 * longer record would stay in its TLS library, where a program that waits for the socket never
 * sees it.
 */
enum { TLS_CLIENT_RECORD_MAX = 8192 };

struct tls_context {
	atomic_uint refs;
	enum tls_side side;
	enum tls_mode mode;
	bool is_verifying;
	SSL_CTX *ssl;     /* owned */
	BIO_METHOD *wire; /* owned */
};

/* RFC 7301 wire format: a length in front of each protocol. */
static const unsigned char alpn_postgresql[] = "\012postgresql";

static bool is_given(const char *text)
{
	return text && text[0];
}

static bool is_any_of(const char *text, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (strcasecmp(text, words[i]) == 0)
			return true;
	}
	return false;
}

/* --- protocols --- */

static const struct {
	const char *name;
	int version;
} protocol_names[] = {
	{ "tlsv1.0", TLS1_VERSION },   { "tlsv1", TLS1_VERSION },     { "tlsv1.1", TLS1_1_VERSION },
	{ "tlsv1.2", TLS1_2_VERSION }, { "tlsv1.3", TLS1_3_VERSION },
};

static int protocol_version(const char *name)
{
	for (size_t i = 0; i < WEIR_COUNTOF(protocol_names); i++) {
		if (strcasecmp(name, protocol_names[i].name) == 0)
			return protocol_names[i].version;
	}
	return 0;
}

/* The lowest and highest version of a list; versions in between are allowed too. */
static bool protocol_range(const char *list, int *lowest, int *highest)
{
	char token[TLS_TOKEN_MAX];

	for (const char *at = list; *at;) {
		size_t len = strcspn(at, ",: ");
		int version;

		if (len > 0) {
			if (len >= sizeof(token))
				return false;
			memcpy(token, at, len);
			token[len] = '\0';
			version = protocol_version(token);
			if (!version)
				return false;
			*lowest = !*lowest || version < *lowest ? version : *lowest;
			*highest = version > *highest ? version : *highest;
		}
		at += len;
		at += strspn(at, ",: ");
	}
	return *lowest != 0;
}

static bool set_protocols(SSL_CTX *ssl, const char *protocols)
{
	static const char *const secure_words[] = { "secure", "default" };
	static const char *const all_words[] = { "all", "legacy" };
	int lowest = 0, highest = 0;

	if (!is_given(protocols) || is_any_of(protocols, secure_words, WEIR_COUNTOF(secure_words)))
		return SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION) == 1;
	if (is_any_of(protocols, all_words, WEIR_COUNTOF(all_words)))
		return SSL_CTX_set_min_proto_version(ssl, TLS1_VERSION) == 1;
	return protocol_range(protocols, &lowest, &highest) &&
	       SSL_CTX_set_min_proto_version(ssl, lowest) == 1 &&
	       SSL_CTX_set_max_proto_version(ssl, highest) == 1;
}

/* --- ciphers, curves, files: each false with OpenSSL's error queue filled --- */

static bool set_ciphers(SSL_CTX *ssl, const char *ciphers)
{
	static const char *const words[] = { "default", "secure", "normal", "fast", "compat" };
	static const char *const all_words[] = { "all", "legacy", "insecure" };

	if (is_given(ciphers) && is_any_of(ciphers, all_words, WEIR_COUNTOF(all_words)))
		ciphers = "ALL:!aNULL:!eNULL";
	else if (!is_given(ciphers) || is_any_of(ciphers, words, WEIR_COUNTOF(words)))
		ciphers = TLS_SECURE_CIPHERS;
	return SSL_CTX_set_cipher_list(ssl, ciphers) == 1;
}

static bool set_tls13_ciphers(SSL_CTX *ssl, const char *ciphers)
{
	return !is_given(ciphers) || SSL_CTX_set_ciphersuites(ssl, ciphers) == 1;
}

static bool set_curves(SSL_CTX *ssl, const char *curves)
{
	static const char *const words[] = { "auto", "none" }; /* TLS 1.3 has no exchange without one */

	if (!is_given(curves) || is_any_of(curves, words, WEIR_COUNTOF(words)))
		return true;
	return SSL_CTX_set1_curves_list(ssl, curves) == 1;
}

static bool set_cert(SSL_CTX *ssl, const char *file)
{
	return !is_given(file) || SSL_CTX_use_certificate_chain_file(ssl, file) == 1;
}

static bool set_key(SSL_CTX *ssl, const char *file)
{
	return !is_given(file) || (SSL_CTX_use_PrivateKey_file(ssl, file, SSL_FILETYPE_PEM) == 1 &&
	                           SSL_CTX_check_private_key(ssl) == 1);
}

static bool set_ca(SSL_CTX *ssl, const char *file)
{
	STACK_OF(X509_NAME) * names;

	if (!is_given(file))
		return true;
	if (SSL_CTX_load_verify_locations(ssl, file, NULL) != 1)
		return false;
	names = SSL_load_client_CA_file(file);
	if (names)
		SSL_CTX_set_client_CA_list(ssl, names);
	return names != NULL;
}

/* --- ALPN --- */

static int on_alpn_select(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                          const unsigned char *in, unsigned in_len, void *arg)
{
	unsigned char *selected;

	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto(&selected, out_len, alpn_postgresql, sizeof(alpn_postgresql) - 1, in,
	                          in_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = selected;
	return SSL_TLSEXT_ERR_OK;
}

static bool set_alpn(SSL_CTX *ssl, enum tls_side side)
{
	if (side == TLS_SIDE_SERVER) {
		SSL_CTX_set_alpn_select_cb(ssl, on_alpn_select, NULL);
		return true;
	}
	return SSL_CTX_set_alpn_protos(ssl, alpn_postgresql, sizeof(alpn_postgresql) - 1) == 0;
}

/* --- the whole --- */

static int verify_flags(const struct tls_options *o)
{
	bool must = o->mode >= TLS_MODE_VERIFY_CA;

	if (o->side == TLS_SIDE_CLIENT)
		return must ? SSL_VERIFY_PEER : SSL_VERIFY_NONE;
	if (must)
		return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	return is_given(o->ca_file) ? SSL_VERIFY_PEER : SSL_VERIFY_NONE;
}

static const char *missing_option(const struct tls_options *o)
{
	if (o->side == TLS_SIDE_SERVER && !is_given(o->cert_file))
		return "cert_file";
	if (is_given(o->cert_file) != is_given(o->key_file))
		return is_given(o->key_file) ? "cert_file" : "key_file";
	if (o->mode >= TLS_MODE_VERIFY_CA && !is_given(o->ca_file))
		return "ca_file";
	return NULL;
}

/* The name of the option that was refused; NULL: all are set. */
static const char *apply_options(SSL_CTX *ssl, const struct tls_options *o)
{
	if (!set_protocols(ssl, o->protocols))
		return "protocols";
	if (!set_ciphers(ssl, o->ciphers))
		return "ciphers";
	if (!set_tls13_ciphers(ssl, o->tls13_ciphers))
		return "tls13_ciphers";
	if (!set_curves(ssl, o->ecdh_curve))
		return "ecdhcurve";
	if (!set_cert(ssl, o->cert_file))
		return "cert_file";
	if (!set_key(ssl, o->key_file))
		return "key_file";
	if (!set_ca(ssl, o->ca_file))
		return "ca_file";
	return NULL;
}

static bool apply_modes(SSL_CTX *ssl, const struct tls_options *o)
{
	SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
	                             SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_TICKET);
	SSL_CTX_set_num_tickets(ssl, 0);
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
	                          SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(ssl, 1);
	if (o->side == TLS_SIDE_SERVER)
		SSL_CTX_set_max_send_fragment(ssl, TLS_CLIENT_RECORD_MAX);
	SSL_CTX_set_verify(ssl, verify_flags(o), NULL);
	return o->is_http || set_alpn(ssl, o->side);
}

static void explain(char *why, size_t why_size, const char *option, const char *text)
{
	char reason[TLS_WHY_MAX] = "";
	unsigned long code = ERR_peek_error(); /* of the file, if that is the cause */

	if (ERR_SYSTEM_ERROR(code))
		snprintf(reason, sizeof(reason), "%s", strerrordesc_np(ERR_GET_REASON(code)));
	else if (code)
		ERR_error_string_n(code = ERR_peek_last_error(), reason, sizeof(reason));
	snprintf(why, why_size, "%s: %s", option, text ? text : code ? reason : "not valid");
	ERR_clear_error();
}

enum weir_err tls_context_create(const struct tls_options *options, struct tls_context **context,
                                 char *why, size_t why_size)
{
	const char *missing = missing_option(options), *refused;
	BIO_METHOD *wire;
	SSL_CTX *ssl;

	*context = NULL;
	ERR_clear_error();
	if (missing) {
		explain(why, why_size, missing, "needed but not set");
		return WEIR_ERR_CONFIG;
	}
	ssl = SSL_CTX_new(options->side == TLS_SIDE_SERVER ? TLS_server_method() : TLS_client_method());
	wire = tls_wire_kind();
	refused = !ssl || !wire || !apply_modes(ssl, options) ? "sslmode" : apply_options(ssl, options);
	if (refused) {
		explain(why, why_size, refused, NULL);
		SSL_CTX_free(ssl);
		tls_wire_kind_free(wire);
		return WEIR_ERR_CONFIG;
	}
	*context = mem_zalloc(sizeof(**context));
	atomic_init(&(*context)->refs, 1);
	(*context)->side = options->side;
	(*context)->mode = options->mode;
	(*context)->is_verifying = verify_flags(options) != SSL_VERIFY_NONE;
	(*context)->ssl = ssl;
	(*context)->wire = wire;
	return WEIR_OK;
}

struct tls_context *tls_context_get(struct tls_context *context)
{
	atomic_fetch_add(&context->refs, 1);
	return context;
}

void tls_context_put(struct tls_context **context)
{
	struct tls_context *c = *context;

	*context = NULL;
	if (!c || atomic_fetch_sub(&c->refs, 1) != 1)
		return;
	SSL_CTX_free(c->ssl);
	tls_wire_kind_free(c->wire);
	mem_free(c);
}

enum tls_mode tls_context_mode(const struct tls_context *context)
{
	return context->mode;
}

SSL_CTX *tls_context_ssl(const struct tls_context *context)
{
	return context->ssl;
}

const BIO_METHOD *tls_context_wire(const struct tls_context *context)
{
	return context->wire;
}

enum tls_side tls_context_side(const struct tls_context *context)
{
	return context->side;
}

bool tls_context_verifies(const struct tls_context *context)
{
	return context->is_verifying;
}
