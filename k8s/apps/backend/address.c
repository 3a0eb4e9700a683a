/* SPDX-License-Identifier: PostgreSQL */
/*
 * Settings go by the startup parameter `options`, which pgweir carries from
 * server to server like any other. Lock time-outs are half of the statement's,
 * so that a transfer behind a stuck one can still be repeated. Pure.
 */
#include "backend/address.h"

#include <arpa/inet.h>
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

enum { OPTIONS_TEXT_MAX = 1024 };

/* libpq names its parameters in static text; PQconninfoFree frees only values. */
static const char *static_name(const char *name)
{
	static const char *const known[] = { "service",
		                                 "user",
		                                 "password",
		                                 "passfile",
		                                 "channel_binding",
		                                 "connect_timeout",
		                                 "dbname",
		                                 "host",
		                                 "hostaddr",
		                                 "port",
		                                 "client_encoding",
		                                 "options",
		                                 "application_name",
		                                 "fallback_application_name",
		                                 "keepalives",
		                                 "keepalives_idle",
		                                 "keepalives_interval",
		                                 "keepalives_count",
		                                 "tcp_user_timeout",
		                                 "sslmode",
		                                 "sslcompression",
		                                 "sslcert",
		                                 "sslkey",
		                                 "sslpassword",
		                                 "sslrootcert",
		                                 "sslcrl",
		                                 "sslcrldir",
		                                 "sslsni",
		                                 "requirepeer",
		                                 "ssl_min_protocol_version",
		                                 "ssl_max_protocol_version",
		                                 "gssencmode",
		                                 "krbsrvname",
		                                 "gsslib",
		                                 "replication",
		                                 "target_session_attrs" };

	for (size_t i = 0; i < WEIR_COUNTOF(known); i++) {
		if (strcmp(known[i], name) == 0)
			return known[i];
	}
	return NULL;
}

static void add(struct address *a, const char *name, const char *value)
{
	WEIR_ASSERT(a->count < ADDRESS_PARAMS_MAX);
	a->names[a->count] = name;
	a->values[a->count++] = mem_strdup(value);
}

static bool is_numeric(const char *host)
{
	struct in6_addr any;

	return inet_pton(AF_INET, host, &any) == 1 || inet_pton(AF_INET6, host, &any) == 1;
}

static void add_session_options(struct address *a, const char *given, uint32_t timeout_ms)
{
	char text[OPTIONS_TEXT_MAX];

	snprintf(text, sizeof text,
	         "-c TimeZone=UTC -c DateStyle=ISO -c statement_timeout=%u -c lock_timeout=%u"
	         " -c idle_in_transaction_session_timeout=%u %s",
	         timeout_ms, timeout_ms / 2, timeout_ms, given ? given : "");
	add(a, "options", text);
}

static int take_parameters(struct address *a, const PQconninfoOption *options, uint32_t timeout_ms)
{
	const char *given = NULL;

	add(a, "connect_timeout", "10"); /* only for who blocks; of two values libpq takes the later */
	for (const PQconninfoOption *o = options; o->keyword; o++) {
		const char *name = static_name(o->keyword);

		if (!o->val || !name)
			continue;
		if (strcmp(name, "options") == 0) {
			given = o->val;
			continue;
		}
		if (strcmp(name, "host") == 0 && strchr(o->val, ','))
			return WEIR_ERR_UNSUPPORTED;
		if (strcmp(name, "host") == 0 && *o->val && *o->val != '/' && !is_numeric(o->val))
			a->host = mem_strdup(o->val);
		add(a, name, o->val);
	}
	add(a, "client_encoding", "UTF8");
	add(a, "fallback_application_name", "finai-backend");
	add_session_options(a, given, timeout_ms);
	return WEIR_OK;
}

int address_init(struct address *a, const char *url, uint32_t timeout_ms, char *why,
                 size_t why_size)
{
	char *message = NULL;
	PQconninfoOption *options = PQconninfoParse(url, &message);
	int rc;

	memset(a, 0, sizeof *a);
	if (!options) {
		/* libpq's text may quote the address with its password, so it isn't passed on. */
		snprintf(why, why_size, "DATABASE_URL: libpq can't read it");
		PQfreemem(message);
		return WEIR_ERR_CONFIG;
	}
	rc = take_parameters(a, options, timeout_ms);
	if (rc < 0)
		snprintf(why, why_size, "DATABASE_URL: several hosts, but pgweir is one address");
	PQconninfoFree(options);
	return rc;
}

void address_fini(struct address *a)
{
	for (int i = 0; i < a->count; i++) {
		mem_wipe(a->values[i], strlen(a->values[i]));
		mem_free(a->values[i]);
	}
	mem_free(a->host);
	memset(a, 0, sizeof *a);
}

void address_fill(const struct address *a, const char *hostaddr, const char **names,
                  const char **values)
{
	int n = 0;

	for (; n < a->count; n++) {
		names[n] = a->names[n];
		values[n] = a->values[n];
	}
	if (hostaddr) {
		names[n] = "hostaddr";
		values[n++] = hostaddr;
	}
	names[n] = values[n] = NULL;
}
