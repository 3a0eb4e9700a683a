/* SPDX-License-Identifier: PostgreSQL */
/*
 * Log: one event per line, constant event name first, then key=value pairs.
 * error = the operator must act, warn = degraded, info = life cycle, debug =
 * per query. Never a password, key or parameter value. Any thread; a line is
 * one write(2).
 */
#ifndef WEIR_BASE_LOG_H
#define WEIR_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

extern _Atomic(enum log_level) log_threshold; /* set by log_set_level only */

/* Standard error gets lines when no file is open, always, or not at all. */
enum log_stderr { LOG_STDERR_ALONE, LOG_STDERR_BESIDE, LOG_STDERR_NEVER };

void log_set_level(enum log_level level);
void log_use_stderr(enum log_stderr use); /* main thread; ALONE at first */
int log_open_file(const char *path); /* NULL or empty: stderr; negative weir_err on failure */
int log_open_syslog(const char *ident, const char *facility); /* beside the file */
uint64_t log_syslog_dropped(void); /* lines that the daemon had no room for */
bool log_has_facility(const char *name); /* of syslog */
void log_reopen(void);                                        /* after rotation */
void log_close(void);

/*
 * fmt reads "key=%s key=%d". A %s value behind '=' is put in quotes where it
 * needs them, and control characters are escaped in every value, so that bytes
 * from a peer can't break or forge a line. Too long a line is cut. Keeps errno.
 */
void log_write(enum log_level level, const char *event, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#define log_error(event, ...) log_write(LOG_LEVEL_ERROR, event, __VA_ARGS__)
#define log_warn(event, ...) log_write(LOG_LEVEL_WARN, event, __VA_ARGS__)
#define log_info(event, ...) log_write(LOG_LEVEL_INFO, event, __VA_ARGS__)
#define log_debug(event, ...)                               \
	do {                                                    \
		if (log_threshold >= LOG_LEVEL_DEBUG)               \
			log_write(LOG_LEVEL_DEBUG, event, __VA_ARGS__); \
	} while (0)

#endif
