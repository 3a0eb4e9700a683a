/* SPDX-License-Identifier: PostgreSQL */
/*
 * See background.h. A pipe joins parent and child: one byte says that the child
 * serves, its end without one that it doesn't. Until then the child keeps
 * standard error, where it says what is wrong.
 */
#include "worker/background.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void wait_for_child(int fd)
{
	char byte;
	ssize_t n;

	do {
		n = read(fd, &byte, 1);
	} while (n < 0 && errno == EINTR);
	_exit(n == 1 ? 0 : 1);
}

int background_begin(void)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) != 0 || (pid = fork()) < 0) {
		fprintf(stderr, "pgweir: -d: %s\n", strerror(errno));
		return -1;
	}
	if (pid > 0) {
		close(ends[1]);
		wait_for_child(ends[0]);
	}
	close(ends[0]);
	setsid();
	return ends[1];
}

void background_ready(int to_parent)
{
	int null;

	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
		(void)dup2(null, fd);
	if (null > STDERR_FILENO)
		close(null);
	(void)!write(to_parent, "", 1);
	close(to_parent);
}
