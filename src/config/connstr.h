/* SPDX-License-Identifier: PostgreSQL */
/*
 * Connect strings as [databases], [clusters], [users] and [peers] have them:
 * key=value pairs, values bare or in quotes, where '' is one. Also comma
 * lists, host:port and redis:// addresses. Private to config/. Pure.
 */
#ifndef WEIR_CONFIG_CONNSTR_H
#define WEIR_CONFIG_CONNSTR_H

#include "base/arena.h"
#include "base/err.h"
#include "config/config.h"

/*
 * Takes the next pair off *rest: WEIR_OK, WEIR_ERR_NOT_FOUND at the end, or
 * WEIR_ERR_CONFIG with *why (static text). The value is in the arena, the key borrows.
 */
enum weir_err connstr_next(struct slice *rest, struct arena *arena, struct slice *key,
                           struct slice *value, const char **why) WEIR_MUST_CHECK;

/* host, host:port, [v6]:port, v6 without port, /folder or @name. */
bool endpoint_parse(struct slice text, uint16_t default_port, struct arena *arena,
                    struct config_endpoint *out) WEIR_MUST_CHECK;
/* Likewise, without a copy. */
bool endpoint_split(struct slice text, uint16_t default_port, struct slice *host,
                    uint16_t *port) WEIR_MUST_CHECK;
/*
 * redis://[user[:password]@]host[:port], with s behind redis: TLS. redis+cluster:// and
 * redis+sentinel:// take several host:port, the latter "/name of the master" at the end.
 * %xx is decoded in user and password.
 */
bool redis_url_parse(struct slice url, struct arena *arena,
                     struct config_redis *out) WEIR_MUST_CHECK;
/* Numeric port of 1 to 65535. */
bool port_parse(struct slice text, uint16_t *out) WEIR_MUST_CHECK;

#endif
