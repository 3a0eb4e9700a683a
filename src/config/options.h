/* SPDX-License-Identifier: PostgreSQL */
/*
 * The option tables of options.def as data: kinds, enums, rows with the offset
 * of their field. Everything generic (defaults, parsing, printing, inheriting,
 * comparing) works on these rows. Pure, any thread.
 */
#ifndef WEIR_CONFIG_OPTIONS_H
#define WEIR_CONFIG_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum config_pool_mode { POOL_MODE_SESSION, POOL_MODE_TRANSACTION, POOL_MODE_STATEMENT };
enum config_consistency { CONSISTENCY_EVENTUAL, CONSISTENCY_SESSION, CONSISTENCY_STRONG };
enum config_auth_type {
	AUTH_TYPE_CERT,
	AUTH_TYPE_MD5,
	AUTH_TYPE_SCRAM,
	AUTH_TYPE_PLAIN,
	AUTH_TYPE_TRUST,
	AUTH_TYPE_ANY,
	AUTH_TYPE_HBA,
	AUTH_TYPE_LDAP,
	AUTH_TYPE_PAM,
};
/* Ordered: stricter is larger. */
enum config_sslmode {
	SSLMODE_DISABLE,
	SSLMODE_ALLOW,
	SSLMODE_PREFER,
	SSLMODE_REQUIRE,
	SSLMODE_VERIFY_CA,
	SSLMODE_VERIFY_FULL,
};
/* libpq's channel_binding and sslnegotiation. */
enum config_channel_binding {
	CHANNEL_BINDING_DISABLE,
	CHANNEL_BINDING_PREFER,
	CHANNEL_BINDING_REQUIRE,
};
enum config_protocol { PROTOCOL_3_0, PROTOCOL_3_2 };
enum config_tls_negotiation { TLS_NEGOTIATION_POSTGRES, TLS_NEGOTIATION_DIRECT };
/* What becomes of a statement that would pin its client. */
enum config_pin_policy { PIN_POLICY_PIN, PIN_POLICY_REFUSE, PIN_POLICY_WARN };
enum config_log_level { CONFIG_LOG_ERROR, CONFIG_LOG_WARN, CONFIG_LOG_INFO, CONFIG_LOG_DEBUG };
enum config_io_backend { IO_BACKEND_AUTO, IO_BACKEND_EPOLL, IO_BACKEND_IO_URING };
enum config_load_balance { LOAD_BALANCE_DISABLE, LOAD_BALANCE_ROUND_ROBIN };

enum option_kind {
	OPTION_BOOL,
	OPTION_INT,
	OPTION_LIMIT, /* an INT of which less than 0 means 0 */
	OPTION_OCTAL,
	OPTION_BYTES,
	OPTION_SECONDS,
	OPTION_WHOLE_SECONDS, /* whole ones are numbers as in C, as PgBouncer has it */
	OPTION_MILLIS,
	OPTION_TEXT,   /* never NULL, empty when not given */
	OPTION_SECRET, /* a text that is never printed */
	OPTION_URL,    /* a text whose password is never printed */
	OPTION_POOL_MODE,
	OPTION_CONSISTENCY,
	OPTION_AUTH_TYPE,
	OPTION_SSLMODE,
	OPTION_CHANNEL_BINDING,
	OPTION_TLS_NEGOTIATION,
	OPTION_PROTOCOL,
	OPTION_LOG_LEVEL,
	OPTION_LOAD_BALANCE,
	OPTION_PIN_POLICY,
	OPTION_IO_BACKEND,
	OPTION_KIND_COUNT
};

/* The C type of a field of each kind. */
#define OPTION_CTYPE_BOOL bool
#define OPTION_CTYPE_INT int
#define OPTION_CTYPE_LIMIT int
#define OPTION_CTYPE_OCTAL int
#define OPTION_CTYPE_MILLIS int
#define OPTION_CTYPE_BYTES uint64_t
#define OPTION_CTYPE_SECONDS uint64_t
#define OPTION_CTYPE_WHOLE_SECONDS uint64_t
#define OPTION_CTYPE_TEXT const char *
#define OPTION_CTYPE_SECRET const char *
#define OPTION_CTYPE_URL const char *
#define OPTION_CTYPE_POOL_MODE enum config_pool_mode
#define OPTION_CTYPE_CONSISTENCY enum config_consistency
#define OPTION_CTYPE_AUTH_TYPE enum config_auth_type
#define OPTION_CTYPE_SSLMODE enum config_sslmode
#define OPTION_CTYPE_CHANNEL_BINDING enum config_channel_binding
#define OPTION_CTYPE_TLS_NEGOTIATION enum config_tls_negotiation
#define OPTION_CTYPE_PROTOCOL enum config_protocol
#define OPTION_CTYPE_LOG_LEVEL enum config_log_level
#define OPTION_CTYPE_PIN_POLICY enum config_pin_policy
#define OPTION_CTYPE_LOAD_BALANCE enum config_load_balance
#define OPTION_CTYPE_IO_BACKEND enum config_io_backend

/* Seconds that no option has more of. */
#define OPTION_SECONDS_FOREVER 2147483647

enum option_scope {
	OPTION_SCOPE_GLOBAL,
	OPTION_SCOPE_DATABASE,
	OPTION_SCOPE_USER,
	OPTION_SCOPE_CLUSTER,
	OPTION_SCOPE_PEER,
	OPTION_SCOPE_COUNT
};

struct option {
	const char *name;
	const char *default_text; /* "" where the row inherits */
	const char *doc;
	double min;               /* in the option's own unit */
	double max;               /* 0 with min 0: no range */
	size_t offset;            /* of the field in its scope's struct */
	ptrdiff_t inherit_offset; /* in struct config_globals; -1: nothing */
	enum option_kind kind;
	bool is_global; /* whole numbers as PgBouncer reads those of its main section: 0x10, 010 */
	bool needs_restart;
	bool is_ignored;   /* accepted without function */
	const char *group; /* not NULL: no option but the title of the rows that follow; name is NULL */
};

struct option_table {
	const struct option *rows; /* rows with group set aren't options */
	size_t count;
};

struct option_table option_table(enum option_scope scope);
const struct option *option_find(enum option_scope scope,
                                 struct slice name); /* aliases too; NULL */
size_t option_index(enum option_scope scope, const struct option *o);

/* Words of an enum kind, NULL-terminated, index = value; NULL for other kinds. */
const char *const *option_words(enum option_kind kind);
const char *config_pool_mode_text(enum config_pool_mode mode);
const char *config_consistency_text(enum config_consistency consistency);

#endif
