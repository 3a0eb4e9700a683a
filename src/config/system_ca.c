/* SPDX-License-Identifier: PostgreSQL */
/*
 * See system_ca.h. SSL_CERT_FILE, as OpenSSL has it, comes before the places that
 * distributions use. A file, since libpq takes nothing else.
 */
#include "config/system_ca.h"

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"

static const char *const places[] = {
	"/etc/ssl/certs/ca-certificates.crt",                /* Debian, Alpine, Arch */
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", /* Red Hat */
	"/etc/pki/tls/certs/ca-bundle.crt",                  /* older ones of it */
	"/etc/ssl/ca-bundle.pem",                            /* SUSE */
	"/etc/ssl/cert.pem",
};

const char *system_ca_file(void)
{
	const char *given = getenv("SSL_CERT_FILE");

	if (given && *given)
		return given;
	for (size_t i = 0; i < WEIR_COUNTOF(places); i++)
		if (access(places[i], R_OK) == 0)
			return places[i];
	return "";
}
