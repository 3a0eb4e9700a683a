/* SPDX-License-Identifier: PostgreSQL */
/*
 * See client_log.h. The address is asked of the kernel when a line needs it: with
 * its log-in or refusal, which later lines join by the id.
 */
#include "proxy/client_log.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "proxy/client.h"
#include "proxy/login_priv.h"

enum { ADDRESS_MAX = 128 };

/* As PgBouncer writes it: a Unix socket has the process behind it for an address. */
static void address_text(const struct client *c, char out[ADDRESS_MAX])
{
	char host[ADDRESS_MAX - 16] = "";
	uint16_t port = 0;

	snprintf(out, ADDRESS_MAX, "gone");
	if (!conn_is_open(&c->conn))
		return;
	conn_peer_name(&c->conn, host, sizeof host, &port);
	if (strcmp(host, "unix") == 0)
		snprintf(out, ADDRESS_MAX, "unix(%u)", conn_peer_pid(&c->conn));
	else
		snprintf(out, ADDRESS_MAX, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
}

static const char *database_of(const struct client *c)
{
	if (c->login)
		return c->login->database;
	if (c->is_console)
		return c->is_console_alias ? "pgbouncer" : "pgweir";
	return c->tenant ? c->tenant->database : "";
}

static const char *user_of(const struct client *c)
{
	if (c->login)
		return c->login->user;
	if (c->is_console)
		return c->console_user;
	return c->tenant ? c->tenant->user : "";
}

void client_log_login(const struct client *c)
{
	char address[ADDRESS_MAX];

	if (!c->login->settings->config->global.log_connections)
		return;
	address_text(c, address);
	log_info("client_login", "id=%llu addr=%s db=%s user=%s tls=%d", (unsigned long long)c->id,
		 address, database_of(c), user_of(c), (int)c->is_tls);
}

void client_log_refused(const struct client *c, const char *sqlstate, const char *message)
{
	char address[ADDRESS_MAX];

	address_text(c, address);
	log_info("login_refused", "id=%llu addr=%s db=%s user=%s sqlstate=%s message=\"%s\"",
		 (unsigned long long)c->id, address, database_of(c), user_of(c), sqlstate,
		 message);
}

/* Who only looks whether we are there isn't worth a line; a refusal has one already. */
static bool is_worth_a_line(const struct client *c, enum close_reason reason)
{
	return c->tenant || c->is_console || reason == CLOSE_LOGIN_TIMEOUT || reason == CLOSE_TLS ||
	       reason == CLOSE_PROTOCOL;
}

void client_log_closed(const struct client *c, enum close_reason reason)
{
	const char *text = close_reason_info(reason)->text;
	unsigned long long age_ms = (clock_monotonic_us() - c->connected_us) / 1000;
	char address[ADDRESS_MAX];

	if (!c->proxy->settings->config->global.log_disconnections || !is_worth_a_line(c, reason))
		return;
	if (c->login) {
		address_text(c, address);
		log_info("client_closed", "id=%llu addr=%s db=%s user=%s reason=\"%s\" age_ms=%llu",
			 (unsigned long long)c->id, address, database_of(c), user_of(c), text,
			 age_ms);
	} else {
		log_info("client_closed", "id=%llu db=%s user=%s reason=\"%s\" age_ms=%llu",
			 (unsigned long long)c->id, database_of(c), user_of(c), text, age_ms);
	}
}
