/* SPDX-License-Identifier: PostgreSQL */
/*
 * See supervisor.h. One datagram to the socket of $NOTIFY_SOCKET, which is a
 * path or, with @ in front, an abstract name.
 */
#include "worker/supervisor.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"

static int send_to(const char *name, const char *text)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t len = strlen(name);
	int fd, err = 0;

	if (len >= sizeof to.sun_path)
		return ENAMETOOLONG;
	memcpy(to.sun_path, name, len);
	if (name[0] == '@')
		to.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errno;
	if (sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&to,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		err = errno;
	close(fd);
	return err;
}

void supervisor_ready(void)
{
	const char *name = getenv("NOTIFY_SOCKET");
	int err = name && *name ? send_to(name, "READY=1") : 0;

	if (err)
		log_warn("notify_failed", "socket=%s error=\"%s\"", name, strerror(err));
}
