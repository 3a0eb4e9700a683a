/* SPDX-License-Identifier: PostgreSQL */
/*
 * PostgreSQL's protocol 3 for other programs: cut a byte stream into messages,
 * read a startup packet and the fields of an error. No I/O, no allocation, no
 * state; every pointer given out points into the caller's bytes. Any thread.
 */
#ifndef PGWEIR_WIRE_H
#define PGWEIR_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum pgweir_result {
	PGWEIR_OK = 0,
	PGWEIR_MORE,     /* the message isn't complete yet */
	PGWEIR_TOO_LONG, /* longer than the caller's bound, known from the header */
	PGWEIR_BROKEN,   /* not protocol 3 */
};

struct pgweir_message {
	char type;
	const char *body; /* not NUL-terminated */
	size_t body_len;
	size_t whole_len; /* bytes to skip to the next message */
};

/* The first message in len bytes; max_body bounds its body. Sets *out on OK only. */
enum pgweir_result pgweir_message_next(const void *bytes, size_t len, size_t max_body,
                                       struct pgweir_message *out);

enum pgweir_startup_kind {
	PGWEIR_STARTUP_SSL,
	PGWEIR_STARTUP_GSSENC,
	PGWEIR_STARTUP_CANCEL,
	PGWEIR_STARTUP_SESSION,
	PGWEIR_STARTUP_UNSUPPORTED, /* another protocol: only major and minor are set */
};

struct pgweir_startup {
	enum pgweir_startup_kind kind;
	uint16_t major;
	uint16_t minor;
	uint32_t cancel_pid;
	const char *params; /* name NUL value NUL ..., validated */
	size_t params_len;
	size_t whole_len;
};

/* The packet without a type byte that begins a connection. Sets *out on OK only. */
enum pgweir_result pgweir_startup_next(const void *bytes, size_t len, struct pgweir_startup *out);

/* The value given for name, NUL-terminated; NULL: not given. */
const char *pgweir_startup_param(const struct pgweir_startup *startup, const char *name);

/* A field of an ErrorResponse's or NoticeResponse's body by its code; false: not there. */
bool pgweir_error_field(const struct pgweir_message *message, char code, const char **value,
                        size_t *value_len);

#ifdef __cplusplus
}
#endif

#endif
