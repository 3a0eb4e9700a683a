/* SPDX-License-Identifier: PostgreSQL */
/*
 * Errors. An operating error is a negative enum weir_err; what a client must
 * hear is a struct pg_error, which only proxy/ sends. Any thread, no state.
 */
#ifndef WEIR_BASE_ERR_H
#define WEIR_BASE_ERR_H

enum weir_err {
	WEIR_OK = 0,
	WEIR_ERR_MEMORY = -1,   /* a peer-sized allocation failed */
	WEIR_ERR_AGAIN = -2,    /* more bytes or a later try needed */
	WEIR_ERR_PROTOCOL = -3, /* the peer broke the protocol */
	WEIR_ERR_LIMIT = -4,    /* a configured bound was reached */
	WEIR_ERR_IO = -5,       /* a system call failed; errno was logged */
	WEIR_ERR_CLOSED = -6,   /* the peer closed the connection */
	WEIR_ERR_TIMEOUT = -7,
	WEIR_ERR_AUTH = -8, /* credentials refused */
	WEIR_ERR_TLS = -9,
	WEIR_ERR_CONFIG = -10,
	WEIR_ERR_NOT_FOUND = -11,
	WEIR_ERR_UNSUPPORTED = -12,
	WEIR_ERR_RESOLVE = -13, /* host name look-up failed */
};

const char *weir_err_text(enum weir_err err); /* static text, never NULL */

enum { PG_SQLSTATE_LEN = 5, PG_ERROR_MESSAGE_MAX = 512, PG_ERROR_DETAIL_MAX = 512 };

struct pg_error {
	char sqlstate[PG_SQLSTATE_LEN + 1];
	char message[PG_ERROR_MESSAGE_MAX];
	char detail[PG_ERROR_DETAIL_MAX]; /* empty: none */
	char hint[PG_ERROR_DETAIL_MAX];   /* empty: none */
};

/* Fills sqlstate and message, clears detail and hint. */
void pg_error_set(struct pg_error *e, const char *sqlstate, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
