/* SPDX-License-Identifier: PostgreSQL */
/*
 * See pidfile.h. Owns the locked file's descriptor and its path.
 */
#include "worker/pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

enum { PIDFILE_MODE = 0644 };

static struct {
	int fd;
	char path[PATH_MAX]; /* empty: none */
} held = { .fd = -1 };

static bool fail(const char *path, const char *why)
{
	log_error("pidfile_failed", "path=%s error=\"%s\"", path, why);
	if (held.fd >= 0)
		close(held.fd);
	held.fd = -1;
	return false;
}

bool pidfile_write(const char *path)
{
	if (!*path)
		return true;
	if (strlen(path) >= sizeof held.path)
		return fail(path, "the name is too long");
	held.fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, PIDFILE_MODE);
	if (held.fd < 0)
		return fail(path, strerror(errno));
	if (flock(held.fd, LOCK_EX | LOCK_NB) != 0)
		return fail(path, errno == EWOULDBLOCK ? "another process runs with it" :
							 strerror(errno));
	if (ftruncate(held.fd, 0) != 0 || dprintf(held.fd, "%ld\n", (long)getpid()) < 0)
		return fail(path, strerror(errno));
	snprintf(held.path, sizeof held.path, "%s", path);
	return true;
}

static bool is_ours(void)
{
	struct stat there, mine;

	return stat(held.path, &there) == 0 && fstat(held.fd, &mine) == 0 &&
	       there.st_dev == mine.st_dev && there.st_ino == mine.st_ino;
}

void pidfile_remove(void)
{
	if (held.fd < 0)
		return;
	if (is_ours() && unlink(held.path) != 0)
		log_warn("pidfile_failed", "path=%s error=\"%s\"", held.path, strerror(errno));
	close(held.fd);
	held.fd = -1;
}
