/* SPDX-License-Identifier: PostgreSQL */
/*
 * The settings snapshot: configuration, user list and TLS contexts that
 * belong together, counted and swapped whole on reload. Immutable, any thread.
 */
#ifndef WEIR_PROXY_SETTINGS_H
#define WEIR_PROXY_SETTINGS_H

#include <stdatomic.h>
#include <stddef.h>

#include "auth/client_login.h"
#include "config/config.h"

struct hba;
struct ident;
struct tls_context;
struct userlist;

struct settings {
	_Atomic unsigned refcount;
	struct config *config;          /* counted */
	struct hba *hba;                /* owned; NULL: auth_type isn't hba */
	struct ident *ident;            /* owned; NULL: no auth_ident_file */
	struct userlist *users;         /* owned; NULL: no auth_file */
	struct tls_context *client_tls; /* counted; NULL: disabled */
	struct tls_context *server_tls; /* counted; NULL: disabled */
	struct tls_context *cache_tls;  /* counted; NULL: Redis is spoken to plainly */
	struct login_salt_key salt_key; /* the same over reloads */
};

/*
 * Loads everything the configuration names; NULL and `why` (file:line: option: text) on
 * failure. Takes its own reference.
 */
struct settings *settings_create(struct config *config, const struct settings *previous, char *why,
				 size_t why_size);
struct socket_options;
/* The tcp_* options, for accepted and outgoing connections. Pure. */
void settings_tuning(const struct settings *s, struct socket_options *out);
struct settings *settings_get(struct settings *s);
void settings_put(struct settings **s);

#endif
