/* SPDX-License-Identifier: PostgreSQL */
/*
 * See remote.h. The end of a drain is the end of the pidfile: a process that
 * has drained removes it and waits for SIGTERM, one that ends removes it too.
 */
#include "worker/remote.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "config/config.h"
#include "worker/signals.h"

enum { POLL_NS = 50 * 1000 * 1000, GRACE_US = 5 * 1000000 };

static pid_t pid_read(const struct config *config)
{
	const char *path = config->global.pidfile;
	FILE *f = *path ? fopen(path, "re") : NULL;
	long pid = 0;

	if (!*path)
		fputs("pgweir: pidfile isn't set, so the process can't be found\n", stderr);
	else if (!f)
		fprintf(stderr, "pgweir: %s: %s\n", path, strerror(errno));
	else if (fscanf(f, "%ld", &pid) != 1 || pid <= 0)
		fprintf(stderr, "pgweir: %s holds no process id\n", path);
	if (f)
		fclose(f);
	return pid > 0 ? (pid_t)pid : 0;
}

static pid_t tell(const struct config *config, int signal_number)
{
	pid_t pid = pid_read(config);

	if (pid && kill(pid, signal_number) != 0) {
		fprintf(stderr, "pgweir: process %ld: %s\n", (long)pid, strerror(errno));
		return 0;
	}
	return pid;
}

static bool is_over(const char *pidfile, pid_t pid)
{
	return access(pidfile, F_OK) != 0 || (kill(pid, 0) != 0 && errno == ESRCH);
}

int remote_drain(const struct config *config)
{
	const struct config_globals *g = &config->global;
	uint64_t until_us =
		clock_monotonic_us() + g->drain_delay_us + g->drain_timeout_us + GRACE_US;
	struct timespec pause = { .tv_nsec = POLL_NS };
	pid_t pid = tell(config, SIGNAL_DRAIN);

	if (!pid)
		return 1;
	while (!is_over(g->pidfile, pid)) {
		if (clock_monotonic_us() >= until_us) {
			fputs("pgweir: the drain isn't over in its time\n", stderr);
			return 1;
		}
		nanosleep(&pause, NULL);
	}
	return 0;
}

int remote_reload(const struct config *config)
{
	return tell(config, SIGHUP) ? 0 : 1;
}
