/* SPDX-License-Identifier: PostgreSQL */
/*
 * The first packet of a connection, which has no type byte: SSLRequest,
 * GSSENCRequest, CancelRequest or StartupMessage (manual, "Message Formats").
 * The whole packet is validated before anything is handed out, so iterating
 * the parameters can't fail. Pure, any thread.
 */
#ifndef WEIR_WIRE_STARTUP_H
#define WEIR_WIRE_STARTUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/slice.h"

enum {
	STARTUP_MAX_BYTES = 10000, /* behind the length word, as PostgreSQL bounds it */
	STARTUP_MAX_PARAMS = 256,
	STARTUP_MIN_KEY_BYTES = 4,
	STARTUP_MAX_KEY_BYTES = 256, /* protocol 3.2 */
};

#define PG_PROTOCOL(major, minor) (((uint32_t)(major) << 16) | (uint32_t)(minor))
#define PG_PROTOCOL_3_0 PG_PROTOCOL(3, 0)
#define PG_PROTOCOL_3_2 PG_PROTOCOL(3, 2)
#define PG_CODE_CANCEL PG_PROTOCOL(1234, 5678)
#define PG_CODE_SSL PG_PROTOCOL(1234, 5679)
#define PG_CODE_GSSENC PG_PROTOCOL(1234, 5680)

enum startup_kind {
	STARTUP_SSL,
	STARTUP_GSSENC,
	STARTUP_CANCEL,
	STARTUP_SESSION,
	STARTUP_UNSUPPORTED, /* a protocol other than 3.x: only major and minor are set */
};

struct startup {
	enum startup_kind kind;
	uint16_t major;
	uint16_t minor;
	uint32_t cancel_pid;
	struct slice cancel_key; /* borrowed */
	struct slice params;     /* borrowed: name NUL value NUL ..., validated */
	size_t param_count;      /* protocol options included */
};

struct startup_param {
	struct slice name;       /* never empty; followed by a NUL in the packet */
	struct slice value;      /* followed by a NUL in the packet */
	bool is_protocol_option; /* the name begins with "_pq_." */
};

/*
 * AGAIN: more bytes needed, nothing consumed. PROTOCOL: bad length, missing
 * terminator, odd layout, bytes behind the end. LIMIT: too many parameters.
 * *consumed is set on WEIR_OK only.
 */
enum weir_err startup_next(struct slice in, struct startup *out, size_t *consumed) WEIR_MUST_CHECK;

/* It begins with a length that a startup packet can have. */
bool startup_has_length(struct slice in);

/* Iteration: start with *rest = startup.params; false at the end. */
bool startup_param_next(struct slice *rest, struct startup_param *out);

/* The last value given for name, as PostgreSQL takes it; false: not given. */
bool startup_param_find(const struct startup *s, const char *name, struct slice *value);

#endif
