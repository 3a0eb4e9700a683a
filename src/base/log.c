/* SPDX-License-Identifier: PostgreSQL */
/*
 * Where log lines go: standard error, a file that rotation may move away, or
 * both, and syslog beside them. A line is built on the stack and leaves in one write(2),
 * so lines of different threads never mix and no lock is taken. Opening, reopening
 * and closing belong to the main thread; writing to any.
 */
#include "base/log.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log_line.h"
#include "base/log_syslog.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <paths.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

enum { LOG_FILE_MODE = 0640, US_PER_MS = 1000, US_PER_S = 1000000 };

_Atomic(enum log_level) log_threshold = LOG_LEVEL_INFO;

/* The process has one log. The path is the main thread's. */
static struct {
	atomic_int fd;
	_Atomic(enum log_stderr) use_stderr;
	char path[PATH_MAX]; /* empty: standard error */
} sink = { .fd = STDERR_FILENO };

static const struct {
	const char *name;
	int priority;
} levels[] = {
	[LOG_LEVEL_ERROR] = { "ERROR", LOG_ERR },
	[LOG_LEVEL_WARN] = { "WARN", LOG_WARNING },
	[LOG_LEVEL_INFO] = { "INFO", LOG_INFO },
	[LOG_LEVEL_DEBUG] = { "DEBUG", LOG_DEBUG },
};

void log_set_level(enum log_level level)
{
	WEIR_ASSERT((unsigned)level < WEIR_COUNTOF(levels));
	atomic_store(&log_threshold, level);
}

void log_use_stderr(enum log_stderr use)
{
	atomic_store(&sink.use_stderr, use);
}

/* Puts `fd` in the place of the present file under the same number. */
static void replace_fd(int fd)
{
	int old = atomic_load(&sink.fd);

	if (old == STDERR_FILENO) {
		atomic_store(&sink.fd, fd);
		return;
	}
	dup3(fd, old, O_CLOEXEC);
	close(fd);
}

static int open_path(const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, LOG_FILE_MODE);

	if (fd < 0) {
		log_error("log_open_failed", "path=%s error=%m", path);
		return WEIR_ERR_IO;
	}
	replace_fd(fd);
	return WEIR_OK;
}

static void close_file(void)
{
	int old = atomic_exchange(&sink.fd, STDERR_FILENO);

	if (old != STDERR_FILENO)
		close(old);
	sink.path[0] = '\0';
}

int log_open_file(const char *path)
{
	int rc;

	if (!path || path[0] == '\0') {
		close_file();
		return WEIR_OK;
	}
	if (strlen(path) >= sizeof(sink.path))
		return WEIR_ERR_LIMIT;
	rc = open_path(path);
	if (rc == WEIR_OK)
		memmove(sink.path, path, strlen(path) + 1);
	return rc;
}

static int facility_code(const char *name)
{
	static const struct {
		const char *name;
		int code;
	} known[] = {
		{ "daemon", LOG_DAEMON },     { "user", LOG_USER },     { "auth", LOG_AUTH },
		{ "authpriv", LOG_AUTHPRIV }, { "local0", LOG_LOCAL0 }, { "local1", LOG_LOCAL1 },
		{ "local2", LOG_LOCAL2 },     { "local3", LOG_LOCAL3 }, { "local4", LOG_LOCAL4 },
		{ "local5", LOG_LOCAL5 },     { "local6", LOG_LOCAL6 }, { "local7", LOG_LOCAL7 },
		{ "cron", LOG_CRON },         { "ftp", LOG_FTP },       { "kern", LOG_KERN },
		{ "lpr", LOG_LPR },           { "mail", LOG_MAIL },     { "news", LOG_NEWS },
		{ "syslog", LOG_SYSLOG },     { "uucp", LOG_UUCP },     { "", LOG_DAEMON },
	};

	for (size_t i = 0; i < WEIR_COUNTOF(known); i++) {
		if (strcasecmp(known[i].name, name) == 0)
			return known[i].code;
	}
	return WEIR_ERR_NOT_FOUND;
}

bool log_has_facility(const char *name)
{
	return facility_code(name) >= 0;
}

int log_open_syslog(const char *ident, const char *facility)
{
	int code = facility_code(facility);

	return code < 0 ? code : log_syslog_open(_PATH_LOG, ident, code);
}

void log_reopen(void)
{
	if (sink.path[0])
		open_path(sink.path);
}

void log_close(void)
{
	close_file();
	log_syslog_close();
}

/* "2026-01-31 23:59:59.123 UTC [4711] INFO " */
static void put_prefix(struct log_line *line, enum log_level level)
{
	int64_t now_us = clock_wall_us();
	time_t seconds = (time_t)(now_us / US_PER_S);
	char day[32], text[96];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(day, sizeof(day), "%Y-%m-%d %H:%M:%S", &tm);
	snprintf(text, sizeof(text), "%s.%03d UTC [%d] %s ", day, (int)(now_us % US_PER_S / US_PER_MS),
	         (int)getpid(), levels[level].name);
	log_line_raw(line, text);
}

static void write_line(int fd, const struct log_line *line)
{
	ssize_t n;

	do {
		n = write(fd, line->text, line->len);
	} while (n < 0 && errno == EINTR);
}

static void emit(const struct log_line *line, size_t prefix_len, enum log_level level)
{
	enum log_stderr use = atomic_load_explicit(&sink.use_stderr, memory_order_relaxed);
	int fd = atomic_load(&sink.fd);

	if (fd != STDERR_FILENO)
		write_line(fd, line);
	if (use == LOG_STDERR_BESIDE || (use == LOG_STDERR_ALONE && fd == STDERR_FILENO))
		write_line(STDERR_FILENO, line);
	log_syslog_send(levels[level].priority, line->text + prefix_len, line->len - prefix_len - 1);
}

void log_write(enum log_level level, const char *event, const char *fmt, ...)
{
	int saved_errno = errno;
	struct log_line line;
	size_t prefix_len;
	va_list args;

	if (level > atomic_load_explicit(&log_threshold, memory_order_relaxed))
		return;
	log_line_init(&line);
	put_prefix(&line, level);
	prefix_len = line.len;
	log_line_raw(&line, event);
	log_line_raw(&line, fmt[0] ? " " : "");
	errno = saved_errno;
	va_start(args, fmt);
	log_line_vformat(&line, fmt, args);
	va_end(args);
	log_line_end(&line);
	emit(&line, prefix_len, level);
	errno = saved_errno;
}
