/* SPDX-License-Identifier: PostgreSQL */
/*
 * Method, secret, proof: auth_type or the first rule that matches names the
 * method; auth_file, else auth_query, the secret; the messages of a password
 * method are client_login's. Certificates and Unix sockets prove themselves
 * without a message. Nothing is told of a wrong user that isn't of a wrong
 * password. trust trusts those whom the list of users has; any lets anybody in,
 * but never under a role's own name.
 */
#include "proxy/authenticate.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "auth/hba.h"
#include "auth/ident.h"
#include "auth/userlist.h"
#include "base/mem.h"
#include "net/tls.h"
#include "proxy/client_log.h"
#include "proxy/login.h"
#include "proxy/login_priv.h"
#include "wire/frame.h"
#include "wire/frontend.h"

enum { PASSWD_BYTES = 4096 };

/* ---- the method ---- */

static enum client_method method_of(enum config_auth_type type)
{
	switch (type) {
	case AUTH_TYPE_TRUST:
	case AUTH_TYPE_ANY:
		return CLIENT_METHOD_TRUST;
	case AUTH_TYPE_PLAIN:
		return CLIENT_METHOD_PLAIN;
	case AUTH_TYPE_MD5:
		return CLIENT_METHOD_MD5;
	case AUTH_TYPE_SCRAM:
		return CLIENT_METHOD_SCRAM;
	case AUTH_TYPE_CERT:
		return CLIENT_METHOD_CERT;
	case AUTH_TYPE_HBA:
	case AUTH_TYPE_LDAP:
	case AUTH_TYPE_PAM:
		break;
	}
	return CLIENT_METHOD_REJECT;
}

static void refuse_by_rule(struct client *c, bool is_rule)
{
	const struct login *l = c->login;
	char text[PG_ERROR_MESSAGE_MAX], host[256] = "";
	uint16_t port;

	if (l->is_unix)
		snprintf(host, sizeof host, "[local]"); /* as PostgreSQL has it here */
	else
		conn_peer_name(&c->conn, host, sizeof host, &port);
	if (c->replication == REPLICATION_PHYSICAL)
		snprintf(text, sizeof text, "%s host \"%s\", user \"%s\", %s",
			 is_rule ? "pg_hba.conf rejects replication connection for" :
				   "no pg_hba.conf entry for replication connection from",
			 host, l->user, c->is_tls ? "SSL encryption" : "no encryption");
	else
		snprintf(text, sizeof text, "%s for host \"%s\", user \"%s\", database \"%s\", %s",
		 is_rule ? "pg_hba.conf rejects connection" : "no pg_hba.conf entry", host, l->user,
		 l->database, c->is_tls ? "SSL encryption" : "no encryption");
	login_refuse(c, "28000", text);
}

/* What auth_type or the first rule that matches demands; false: refused already. */
static bool verdict_for(struct client *c, struct hba_verdict *verdict)
{
	struct login *l = c->login;
	struct sockaddr_storage peer = { .ss_family = AF_UNIX };
	socklen_t len = sizeof peer;
	struct hba_request request = {
		.peer = (const struct sockaddr *)&peer,
		.is_tls = c->is_tls,
		.is_replication = c->replication == REPLICATION_PHYSICAL,
		.database = slice_str(l->database),
		.user = slice_str(l->user),
	};

	*verdict = (struct hba_verdict){
		.method = method_of(l->settings->config->global.auth_type),
		.map = "",
	};
	if (verdict->method == CLIENT_METHOD_CERT)
		verdict->client_cert = HBA_CLIENT_CERT_VERIFY_FULL;
	if (!l->settings->hba)
		return true;
	if (!l->is_unix && getpeername(conn_fd(&c->conn), (struct sockaddr *)&peer, &len) != 0) {
		client_close(c, CLOSE_CLIENT_GONE, NULL);
		return false;
	}
	*verdict = hba_match(l->settings->hba, &request);
	if (verdict->method != CLIENT_METHOD_REJECT)
		return true;
	refuse_by_rule(c, verdict->line != 0);
	return false;
}

/* ---- proofs without messages ---- */

static void refuse_proof(struct client *c, const char *method)
{
	char text[PG_ERROR_MESSAGE_MAX];

	snprintf(text, sizeof text, "%s authentication failed for user \"%s\"", method,
		 c->login->user);
	login_refuse(c, "28000", text);
}

static bool check_certificate(struct client *c, const struct hba_verdict *verdict)
{
	const struct login *l = c->login;
	const struct tls_session *tls = c->is_tls ? conn_tls(&c->conn) : NULL;
	char name[IDENT_NAME_MAX];

	if (!tls || !tls_peer_is_verified(tls)) {
		login_refuse(c, "28000", "connection requires a valid client certificate");
		return false;
	}
	if (verdict->client_cert == HBA_CLIENT_CERT_VERIFY_CA)
		return true;
	if (tls_peer_name(tls, name, sizeof name) &&
	    ident_allows(l->settings->ident, verdict->map, name, slice_str(l->user)))
		return true;
	refuse_proof(c, "certificate");
	return false;
}

static bool peer_cred(const struct client *c, struct ucred *cred)
{
	socklen_t len = sizeof *cred;

	return c->login->is_unix &&
	       getsockopt(conn_fd(&c->conn), SOL_SOCKET, SO_PEERCRED, cred, &len) == 0;
}

/* PgBouncer's way in for who may end the process anyway: user pgbouncer by the Unix socket. */
static bool is_owner(const struct client *c)
{
	const struct login *l = c->login;
	struct ucred cred;

	return config_is_admin_database(slice_str(l->database)) &&
	       strcmp(l->user, "pgbouncer") == 0 && peer_cred(c, &cred) && cred.uid == geteuid();
}

static bool check_peer(struct client *c, const struct hba_verdict *verdict)
{
	const struct login *l = c->login;
	struct ucred cred;
	struct passwd entry, *found = NULL;
	char space[PASSWD_BYTES];

	if (peer_cred(c, &cred) &&
	    getpwuid_r(cred.uid, &entry, space, sizeof space, &found) == 0 && found &&
	    ident_allows(l->settings->ident, verdict->map, entry.pw_name, slice_str(l->user)))
		return true;
	refuse_proof(c, "Peer");
	return false;
}

/* False: refused already. */
static bool check_proofs(struct client *c, const struct hba_verdict *verdict)
{
	if (verdict->client_cert != HBA_CLIENT_CERT_NONE && !check_certificate(c, verdict))
		return false;
	return verdict->method != CLIENT_METHOD_PEER || check_peer(c, verdict);
}

/* ---- the secret ---- */

static void take_step(struct client *c, enum client_login_step step, struct buf *out)
{
	struct login *l = c->login;
	struct pg_error e;

	client_send_buf(c, out);
	if (step == CLIENT_LOGIN_OK) {
		login_authenticated(c);
	} else if (step == CLIENT_LOGIN_FAILED) {
		e = l->auth.error;
		client_log_refused(c, e.sqlstate, e.message);
		client_close(c, CLOSE_LOGIN_FAILED, &e);
	}
}

static bool is_proven(enum client_method method)
{
	return method == CLIENT_METHOD_CERT || method == CLIENT_METHOD_PEER;
}

static struct slice secret_of(const struct login *l)
{
	struct slice secret;

	if (userlist_find(l->settings->users, slice_str(l->user), &secret) == WEIR_OK)
		return secret;
	return l->secret ? slice_str(l->secret) : slice_of("", 0);
}

/* Is the name one of auth_file or auth_query? Without either there is no list to be on. */
static bool is_listed(const struct login *l)
{
	struct slice secret;

	if (!l->settings->users && l->stage != STAGE_SECRET)
		return true;
	return l->secret || userlist_find(l->settings->users, slice_str(l->user), &secret) == WEIR_OK;
}

/* False: refused already. */
static bool check_trust(struct client *c)
{
	const struct login *l = c->login;
	const struct config *cfg = l->settings->config;
	const struct config_database *db = config_database_find(cfg, slice_str(l->database));

	if (l->method != CLIENT_METHOD_TRUST || l->is_owner)
		return true;
	if (cfg->global.auth_type != AUTH_TYPE_ANY) {
		if (is_listed(l))
			return true;
		refuse_proof(c, "trust");
		return false;
	}
	if (!db || *db->user || config_is_admin_database(slice_str(l->database)))
		return true;
	login_refuse(c, "28000", "auth_type any needs user= in the database's entry");
	return false;
}

/* The entry of [databases] to ask by; empty: auth_query isn't to be asked. */
static struct slice auth_entry(const struct login *l)
{
	const struct config *cfg = l->settings->config;
	struct slice database = slice_str(l->database);
	const struct config_database *db = config_is_admin_database(database) ?
						   NULL : /* the entry "*" doesn't stand for it */
						   config_database_find(cfg, database);
	const char *name = db ? db->auth_dbname : cfg->global.auth_dbname;
	struct slice none = slice_of("", 0), secret;

	if (cfg->global.auth_type == AUTH_TYPE_ANY ||
	    userlist_find(l->settings->users, slice_str(l->user), &secret) == WEIR_OK)
		return none;
	if (*name)
		db = config_database_find(cfg, slice_str(name));
	if (!db || !*db->auth_user)
		return none;
	return *name ? slice_str(name) : database;
}

/* Who isn't known looks like one of those who are known where it was asked for. */
static struct secret_shape stranger_shape(struct client *c)
{
	const struct login *l = c->login;
	uint64_t number = login_stranger_number(&l->settings->salt_key, slice_str(l->user));

	if (l->is_asked)
		return shape_sample_pick(&c->proxy->shared->shapes, auth_entry(l), number);
	return userlist_pick_shape(l->settings->users, number);
}

static void start(struct client *c)
{
	struct login *l = c->login;
	struct settings *s = l->settings;
	struct scram_cbind cbind = { .len = 0 };
	struct client_login_input in = {
		.method = is_proven(l->method) ? CLIENT_METHOD_TRUST : l->method,
		.user = slice_str(l->user),
		.secret = secret_of(l),
		.unknown_like = stranger_shape(c),
		.scram_iterations = (unsigned)s->config->global.scram_iterations,
		.salt_key = &s->salt_key,
		.cbind = &cbind,
		.prepared = userlist_prepared(s->users, slice_str(l->user)),
		.secrets_are_prepared = userlist_is_prepared(s->users),
	};
	struct buf out;

	if (!check_trust(c))
		return;
	if (c->is_tls)
		cbind.len = tls_endpoint(conn_tls(&c->conn), cbind.data);
	buf_init(&out, LOGIN_OUT_MAX);
	l->stage = STAGE_AUTH;
	l->has_auth = true;
	take_step(c, client_login_start(&l->auth, &in, &out), &out);
}

void authenticate(struct client *c)
{
	const struct proxy_shared *shared = c->proxy->shared;
	struct login *l = c->login;
	struct hba_verdict verdict;
	struct slice entry;

	if (is_owner(c)) {
		l->is_owner = true;
		l->method = CLIENT_METHOD_TRUST;
		start(c);
		return;
	}
	if (!verdict_for(c, &verdict) || !check_proofs(c, &verdict))
		return;
	l->method = verdict.method;
	entry = auth_entry(l);
	if (!entry.len) {
		start(c);
		return;
	}
	l->stage = STAGE_SECRET;
	l->is_asked = true;
	shared->hooks->secret(shared->hooks_ctx, c->proxy, c, entry, slice_str(l->user));
}

void login_secret(struct client *c, struct slice secret)
{
	if (c->state != CLIENT_LOGIN || c->login->stage != STAGE_SECRET)
		return;
	if (secret.len) {
		c->login->secret = mem_slicedup(secret);
		shape_sample_note(&c->proxy->shared->shapes, auth_entry(c->login),
				  slice_str(c->login->user), secret_shape_of(secret));
	}
	start(c);
	if (c->state == CLIENT_LOGIN)
		conn_redeliver(&c->conn);
}

void login_secret_failed(struct client *c)
{
	if (c->state == CLIENT_LOGIN && c->login->stage == STAGE_SECRET)
		login_refuse(c, "08006", "the user's password could not be looked up");
}

void authenticate_forget(struct login *l)
{
	if (l->has_auth)
		client_login_fini(&l->auth);
	if (l->secret)
		mem_wipe(l->secret, strlen(l->secret));
	mem_free(l->secret);
	l->secret = NULL;
}

size_t authenticate_bytes(struct client *c, struct slice bytes)
{
	struct login *l = c->login;
	struct frame f;
	size_t used = 0;
	enum weir_err err = frame_next(bytes, CLIENT_LOGIN_MAX_BODY, &f, &used);
	struct pg_error e;
	struct buf out;

	if (err == WEIR_ERR_AGAIN)
		return 0;
	if (err) {
		pg_error_set(&e, "08P01", "invalid message during authentication");
		client_close(c, CLOSE_PROTOCOL, &e);
		return bytes.len;
	}
	if (f.type == FE_TERMINATE) {
		client_close(c, CLOSE_CLIENT_QUIT, NULL);
		return bytes.len;
	}
	buf_init(&out, LOGIN_OUT_MAX);
	take_step(c, client_login_message(&l->auth, f.type, f.body, &out), &out);
	return used;
}
