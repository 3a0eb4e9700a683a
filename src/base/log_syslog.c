/* SPDX-License-Identifier: PostgreSQL */
/*
 * The C library's syslog(3) waits when the daemon reads no more, and with it
 * would every worker. So the line that it would make (RFC 3164 as /dev/log
 * takes it) is sent here, by a socket that isn't connected: each line finds the
 * daemon that is there now, also after a restart, and nothing is locked.
 */
#include "base/log_syslog.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

enum { IDENT_MAX = 64, HEADER_MAX = 160, NOTE_MAX = 64, US_PER_S = 1000000 };

static struct {
	atomic_int fd; /* -1: closed */
	struct sockaddr_un to;
	char ident[IDENT_MAX];
	int facility;
	_Atomic uint64_t dropped;
	_Atomic uint64_t untold; /* dropped since a line last came through */
} daemon_log = { .fd = -1 };

int log_syslog_open(const char *path, const char *ident, int facility)
{
	int fd;

	if (strlen(path) >= sizeof(daemon_log.to.sun_path))
		return WEIR_ERR_LIMIT;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return WEIR_ERR_IO;
	daemon_log.to.sun_family = AF_UNIX;
	snprintf(daemon_log.to.sun_path, sizeof(daemon_log.to.sun_path), "%s", path);
	snprintf(daemon_log.ident, sizeof(daemon_log.ident), "%s", ident);
	daemon_log.facility = facility;
	log_syslog_close();
	atomic_store(&daemon_log.fd, fd);
	return WEIR_OK;
}

void log_syslog_close(void)
{
	int fd = atomic_exchange(&daemon_log.fd, -1);

	if (fd >= 0)
		close(fd);
}

uint64_t log_syslog_dropped(void)
{
	return atomic_load_explicit(&daemon_log.dropped, memory_order_relaxed);
}

/* "<30>Jan 31 23:59:59 pgweir[4711]: " */
static size_t header_make(int severity, char *out)
{
	time_t seconds = (time_t)(clock_wall_us() / US_PER_S);
	char day[32];
	struct tm tm;

	localtime_r(&seconds, &tm);
	strftime(day, sizeof(day), "%b %e %H:%M:%S", &tm);
	return (size_t)snprintf(out, HEADER_MAX, "<%d>%s %s[%d]: ", daemon_log.facility | severity, day,
	                        daemon_log.ident, (int)getpid());
}

static bool send_line(int fd, int severity, const char *text, size_t len)
{
	char header[HEADER_MAX];
	struct iovec parts[] = { { header, header_make(severity, header) },
		                     { (char *)(uintptr_t)text, len } };
	struct msghdr message = { .msg_name = &daemon_log.to,
		                      .msg_namelen = sizeof(daemon_log.to),
		                      .msg_iov = parts,
		                      .msg_iovlen = WEIR_COUNTOF(parts) };
	ssize_t n;

	do {
		n = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	return n >= 0;
}

/* The reader of the daemon's log learns that lines are missing, and how many. */
static void tell_dropped(int fd)
{
	uint64_t count = atomic_exchange(&daemon_log.untold, 0);
	char note[NOTE_MAX];

	if (!count)
		return;
	snprintf(note, sizeof(note), "syslog_dropped lines=%llu", (unsigned long long)count);
	if (!send_line(fd, LOG_WARNING, note, strlen(note)))
		atomic_fetch_add(&daemon_log.untold, count);
}

void log_syslog_send(int severity, const char *text, size_t len)
{
	int fd = atomic_load_explicit(&daemon_log.fd, memory_order_acquire);

	if (fd < 0)
		return;
	if (send_line(fd, severity, text, len)) {
		tell_dropped(fd);
	} else {
		atomic_fetch_add_explicit(&daemon_log.dropped, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&daemon_log.untold, 1, memory_order_relaxed);
	}
}
