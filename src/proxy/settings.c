/* SPDX-License-Identifier: PostgreSQL */
/*
 * Loads what the configuration only names: the user list and the TLS files.
 * Nothing is half loaded: any failure leaves the previous snapshot in force.
 */
#include "proxy/settings.h"

#include <stdio.h>
#include <string.h>

#include "auth/hba.h"
#include "auth/ident.h"
#include "auth/userlist.h"
#include "base/mem.h"
#include "net/socket.h"
#include "net/tls.h"

static enum weir_err load_tls(const struct config *cfg, enum tls_side side,
                              struct tls_context **out, char *why, size_t why_size)
{
	const struct config_globals *g = &cfg->global;
	struct tls_options o = { .side = side };
	char text[256];

	if (side == TLS_SIDE_SERVER) {
		o.mode = (enum tls_mode)g->client_tls_sslmode;
		o.key_file = g->client_tls_key_file;
		o.cert_file = g->client_tls_cert_file;
		o.ca_file = g->client_tls_ca_file;
		o.protocols = g->client_tls_protocols;
		o.ciphers = g->client_tls_ciphers;
		o.tls13_ciphers = g->client_tls13_ciphers;
		o.ecdh_curve = g->client_tls_ecdhcurve;
	} else {
		o.mode = (enum tls_mode)g->server_tls_sslmode;
		o.key_file = g->server_tls_key_file;
		o.cert_file = g->server_tls_cert_file;
		o.ca_file = g->server_tls_ca_file;
		o.protocols = g->server_tls_protocols;
		o.ciphers = g->server_tls_ciphers;
		o.tls13_ciphers = g->server_tls13_ciphers;
	}
	if (o.mode == TLS_MODE_DISABLE)
		return WEIR_OK;
	if (tls_context_create(&o, out, text, sizeof text) == WEIR_OK)
		return WEIR_OK;
	snprintf(why, why_size, "%s_%s%s", side == TLS_SIDE_SERVER ? "client" : "server",
	         strncmp(text, "tls13", 5) == 0 ? "" : "tls_", text);
	return WEIR_ERR_CONFIG;
}

static bool load_cache_tls(struct settings *s, char *why, size_t why_size)
{
	const struct config_globals *g = &s->config->global;
	const struct tls_options o = {
		.side = TLS_SIDE_CLIENT,
		.mode = TLS_MODE_VERIFY_FULL,
		.ca_file = g->cache_redis_tls_ca_file,
		.cert_file = g->cache_redis_tls_cert_file,
		.key_file = g->cache_redis_tls_key_file,
		.is_http = true,
	};
	char text[256];

	if (!s->config->redis.is_tls ||
	    tls_context_create(&o, &s->cache_tls, text, sizeof text) == WEIR_OK)
		return true;
	snprintf(why, why_size, "cache_redis_tls_%s", text);
	return false;
}

/* SCRAM with plain secrets: derived here, once, instead of at every log-in. */
static void prepare_users(struct settings *s, const struct settings *previous)
{
	const struct config_globals *g = &s->config->global;

	if (s->users && (g->auth_type == AUTH_TYPE_SCRAM || g->auth_type == AUTH_TYPE_HBA))
		userlist_prepare(s->users, previous ? previous->users : NULL, &s->salt_key,
		                 (unsigned)g->scram_iterations);
}

static bool load_users(struct settings *s, char *why, size_t why_size)
{
	char error[USERLIST_ERROR_MAX];

	if (!*s->config->global.auth_file)
		return true;
	if (userlist_load(s->config->global.auth_file, &s->users, error) == WEIR_OK)
		return true;
	snprintf(why, why_size, "auth_file: %s", error);
	return false;
}

static bool load_rules(struct settings *s, char *why, size_t why_size)
{
	char error[HBA_ERROR_MAX];

	if (s->config->global.auth_type != AUTH_TYPE_HBA)
		return true;
	if (hba_load(s->config->global.auth_hba_file, &s->hba, error) == WEIR_OK)
		return true;
	snprintf(why, why_size, "auth_hba_file: %s", error);
	return false;
}

static bool load_maps(struct settings *s, char *why, size_t why_size)
{
	char error[IDENT_ERROR_MAX];

	if (s->config->global.auth_type != AUTH_TYPE_HBA || !*s->config->global.auth_ident_file)
		return true;
	if (ident_load(s->config->global.auth_ident_file, &s->ident, error) == WEIR_OK)
		return true;
	snprintf(why, why_size, "auth_ident_file: %s", error);
	return false;
}

/* `why` begins with the option's name; what is said in the end begins with its place in the ini. */
static void add_place(const struct config *cfg, char *why, size_t why_size)
{
	char *colon = strstr(why, ": ");
	struct config_error err;

	if (!colon)
		return;
	*colon = '\0';
	config_error_of(cfg, why, colon + 2, &err);
	config_error_text(&err, why, why_size);
}

struct settings *settings_create(struct config *config, const struct settings *previous, char *why,
                                 size_t why_size)
{
	struct settings *s = mem_zalloc(sizeof *s);

	s->refcount = 1;
	s->config = config_get(config);
	if (previous)
		s->salt_key = previous->salt_key;
	else
		login_salt_key_init(&s->salt_key);
	if (!load_users(s, why, why_size) || !load_rules(s, why, why_size) ||
	    !load_maps(s, why, why_size) ||
	    load_tls(config, TLS_SIDE_SERVER, &s->client_tls, why, why_size) != WEIR_OK ||
	    load_tls(config, TLS_SIDE_CLIENT, &s->server_tls, why, why_size) != WEIR_OK ||
	    !load_cache_tls(s, why, why_size)) {
		add_place(config, why, why_size);
		settings_put(&s);
	} else {
		prepare_users(s, previous);
	}
	return s;
}

void settings_tuning(const struct settings *s, struct socket_options *out)
{
	const struct config_globals *g = &s->config->global;

	*out = (struct socket_options){
		.tcp_keepalive = g->tcp_keepalive,
		.tcp_keepidle_s = g->tcp_keepidle,
		.tcp_keepintvl_s = g->tcp_keepintvl,
		.tcp_keepcnt = g->tcp_keepcnt,
		.tcp_user_timeout_ms = g->tcp_user_timeout_ms,
		.tcp_socket_buffer_bytes = (int)g->tcp_socket_buffer_bytes,
	};
}

struct settings *settings_get(struct settings *s)
{
	atomic_fetch_add_explicit(&s->refcount, 1, memory_order_relaxed);
	return s;
}

void settings_put(struct settings **sp)
{
	struct settings *s = *sp;

	*sp = NULL;
	if (!s || atomic_fetch_sub_explicit(&s->refcount, 1, memory_order_acq_rel) != 1)
		return;
	hba_destroy(s->hba);
	ident_destroy(s->ident);
	userlist_destroy(s->users);
	tls_context_put(&s->client_tls);
	tls_context_put(&s->server_tls);
	tls_context_put(&s->cache_tls);
	config_put(&s->config);
	mem_wipe(&s->salt_key, sizeof s->salt_key);
	mem_free(s);
}
