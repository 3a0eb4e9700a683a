/* SPDX-License-Identifier: PostgreSQL */
/*
 * Log lines to the syslog daemon, without ever waiting for it: a line that its
 * queue has no room for is dropped and counted. Opening and closing belong to
 * the main thread, sending to any. Private to log.c and its tests.
 */
#ifndef WEIR_BASE_LOG_SYSLOG_H
#define WEIR_BASE_LOG_SYSLOG_H

#include <stddef.h>
#include <stdint.h>

/* path: the daemon's datagram socket; facility: LOG_DAEMON and the like. Negative weir_err. */
int log_syslog_open(const char *path, const char *ident, int facility);
void log_syslog_close(void);
void log_syslog_send(int severity, const char *text, size_t len); /* nothing while closed */

#endif
