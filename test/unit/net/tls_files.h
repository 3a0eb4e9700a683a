/* SPDX-License-Identifier: PostgreSQL */
/*
 * Certificates for the TLS tests, made when asked: a CA, a server certificate
 * for "db.test" and 127.0.0.1, a client certificate with CN "alice", and a
 * second CA that signed nothing.
 */
#ifndef TEST_UNIT_NET_TLS_FILES_H
#define TEST_UNIT_NET_TLS_FILES_H

struct tls_files {
	char dir[32];
	char ca[64], other_ca[64];
	char server_cert[64], server_key[64];
	char client_cert[64], client_key[64];
};

void tls_files_make(struct tls_files *files);
void tls_files_remove(const struct tls_files *files);

#endif
