/* SPDX-License-Identifier: PostgreSQL */
/*
 * Makes the certificates of tls_files.h with OpenSSL's API, on the P-256 curve
 * since that is quick.
 */
#include "tls_files.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"

enum { LIFE_SECONDS = 3600 };

struct issuer {
	X509 *cert;
	EVP_PKEY *key;
};

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	WEIR_ASSERT(ext != NULL && X509_add_ext(cert, ext, -1) == 1);
	X509_EXTENSION_free(ext);
}

/* Self-signed when issuer is NULL. */
static struct issuer make(const char *name, const char *alt_names, const struct issuer *issuer,
                          long serial)
{
	struct issuer made = { X509_new(), EVP_EC_gen("P-256") };
	const struct issuer *by = issuer ? issuer : &made;
	X509_NAME *subject = X509_get_subject_name(made.cert);

	WEIR_ASSERT(made.key != NULL);
	X509_set_version(made.cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(made.cert), serial);
	X509_gmtime_adj(X509_getm_notBefore(made.cert), -LIFE_SECONDS);
	X509_gmtime_adj(X509_getm_notAfter(made.cert), LIFE_SECONDS);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1,
	                           0);
	X509_set_issuer_name(made.cert, X509_get_subject_name(by->cert));
	X509_set_pubkey(made.cert, made.key);
	if (!issuer)
		add_extension(made.cert, made.cert, NID_basic_constraints, "critical,CA:TRUE");
	if (alt_names)
		add_extension(made.cert, by->cert, NID_subject_alt_name, alt_names);
	WEIR_ASSERT(X509_sign(made.cert, by->key, EVP_sha256()) > 0);
	return made;
}

static void write_cert(const char *path, X509 *cert)
{
	FILE *f = fopen(path, "w");

	WEIR_ASSERT(f != NULL && PEM_write_X509(f, cert) == 1);
	fclose(f);
}

static void write_key(const char *path, EVP_PKEY *key)
{
	FILE *f = fopen(path, "w");

	WEIR_ASSERT(f != NULL && PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1);
	fclose(f);
}

static void issuer_free(struct issuer *i)
{
	X509_free(i->cert);
	EVP_PKEY_free(i->key);
}

static void name_files(struct tls_files *f)
{
	snprintf(f->ca, sizeof(f->ca), "%s/ca.crt", f->dir);
	snprintf(f->other_ca, sizeof(f->other_ca), "%s/other.crt", f->dir);
	snprintf(f->server_cert, sizeof(f->server_cert), "%s/server.crt", f->dir);
	snprintf(f->server_key, sizeof(f->server_key), "%s/server.key", f->dir);
	snprintf(f->client_cert, sizeof(f->client_cert), "%s/client.crt", f->dir);
	snprintf(f->client_key, sizeof(f->client_key), "%s/client.key", f->dir);
}

void tls_files_make(struct tls_files *files)
{
	struct issuer ca = make("test ca", NULL, NULL, 1), other = make("other ca", NULL, NULL, 2);
	struct issuer server = make("db.test", "DNS:db.test,IP:127.0.0.1", &ca, 3);
	struct issuer client = make("alice", "DNS:alice.test", &ca, 4);

	snprintf(files->dir, sizeof(files->dir), "/tmp/weir-tls-XXXXXX");
	WEIR_ASSERT(mkdtemp(files->dir) != NULL);
	name_files(files);
	write_cert(files->ca, ca.cert);
	write_cert(files->other_ca, other.cert);
	write_cert(files->server_cert, server.cert);
	write_key(files->server_key, server.key);
	write_cert(files->client_cert, client.cert);
	write_key(files->client_key, client.key);
	issuer_free(&ca);
	issuer_free(&other);
	issuer_free(&server);
	issuer_free(&client);
}

void tls_files_remove(const struct tls_files *files)
{
	const char *const paths[] = { files->ca,         files->other_ca,    files->server_cert,
		                          files->server_key, files->client_cert, files->client_key };

	for (size_t i = 0; i < WEIR_COUNTOF(paths); i++)
		unlink(paths[i]);
	rmdir(files->dir);
}
