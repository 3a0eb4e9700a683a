/* SPDX-License-Identifier: PostgreSQL */
/*
 * What login.c, authenticate.c and replication.c share of a client that logs in.
 * For these alone.
 */
#ifndef WEIR_PROXY_LOGIN_PRIV_H
#define WEIR_PROXY_LOGIN_PRIV_H

#include "auth/client_login.h"
#include "proxy/client.h"

enum { LOGIN_OUT_MAX = 64 * 1024, IDENTITY_BYTES_MAX = 64 };

enum login_stage { STAGE_STARTUP, STAGE_SECRET, STAGE_AUTH, STAGE_WELCOME };

struct login {
	enum login_stage stage;
	bool is_unix;
	bool is_direct; /* TLS came first, unasked */
	bool has_auth;
	bool is_owner; /* the operating system's user that this process runs as, at the console */
	char user[IDENTITY_BYTES_MAX];
	char database[IDENTITY_BYTES_MAX];
	struct session_state *startup; /* counted */
	struct settings *settings;     /* counted: secrets come from it */
	enum client_method method;
	char *secret; /* owned: by auth_query; NULL: not asked, or unknown there */
	bool is_asked;                 /* auth_query had to tell whether the user exists */
	struct client_login auth;
	char *params;       /* owned: start-up parameters of a replication connection; NULL: none */
	size_t params_len;
};

void login_refuse(struct client *c, const char *sqlstate, const char *text);
/* The client is who it says: console, or a database's tenant and the welcome. */
void login_authenticated(struct client *c);

#endif
