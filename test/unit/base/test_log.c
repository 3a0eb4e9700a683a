/* SPDX-License-Identifier: PostgreSQL */
/* Log: the line's shape, levels, files and their rotation. */
#include "base/log.h"

#include "base/err.h"
#include "base/log_syslog.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

static char folder[] = "weir-log-XXXXXX";
static char path[64], moved[64], text[8192];

static void make_folder(void)
{
	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/log", folder);
	snprintf(moved, sizeof(moved), "%s/log.1", folder);
	cr_assert_eq(log_open_file(path), WEIR_OK);
}

static void remove_folder(void)
{
	log_close();
	unlink(path);
	unlink(moved);
	rmdir(folder);
}

static const char *content(const char *of)
{
	FILE *f = fopen(of, "r");
	size_t n;

	cr_assert_not_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	return text;
}

static bool matches(const char *subject, const char *pattern)
{
	regex_t re;
	int rc;

	cr_assert_eq(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
	rc = regexec(&re, subject, 0, NULL, 0);
	regfree(&re);
	return rc == 0;
}

TestSuite(log, .init = make_folder, .fini = remove_folder);

Test(log, a_line_has_time_pid_level_event_and_pairs)
{
	log_info("client_login", "user=%s n=%d", "ann b", 3);
	cr_assert(matches(content(path),
	                  "^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3} UTC "
	                  "\\[[0-9]+\\] INFO client_login user=\"ann b\" n=3\n$"),
	          "got: %s", text);
}

Test(log, an_event_alone_has_no_blank_behind_it)
{
	log_write(LOG_LEVEL_WARN, "drain", "%s", "");
	log_warn("stop", "");
	cr_assert(matches(content(path), " WARN stop\n$"), "got: %s", text);
}

Test(log, what_is_below_the_threshold_is_dropped)
{
	log_debug("query", "n=%d", 1);
	log_set_level(LOG_LEVEL_ERROR);
	log_warn("slow", "n=%d", 2);
	log_error("broken", "n=%d", 3);
	log_set_level(LOG_LEVEL_DEBUG);
	log_debug("query", "n=%d", 4);
	content(path);
	cr_assert_null(strstr(text, "n=1"));
	cr_assert_null(strstr(text, "n=2"));
	cr_assert_not_null(strstr(text, "ERROR broken n=3\n"));
	cr_assert_not_null(strstr(text, "DEBUG query n=4\n"));
}

Test(log, reopen_follows_a_rotation)
{
	log_info("before", "n=%d", 1);
	cr_assert_eq(rename(path, moved), 0);
	log_info("moved", "n=%d", 2);
	log_reopen();
	log_info("after", "n=%d", 3);
	content(moved);
	cr_assert(strstr(text, "before n=1") && strstr(text, "moved n=2") && !strstr(text, "n=3"));
	cr_assert_not_null(strstr(content(path), "after n=3"));
}

Test(log, standard_error_beside_a_file_instead_and_never)
{
	static const enum log_stderr uses[] = { LOG_STDERR_ALONE, LOG_STDERR_BESIDE, LOG_STDERR_NEVER };
	int fd = open(moved, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	int kept = dup(STDERR_FILENO);

	cr_assert(kept >= 0 && fd >= 0 && dup2(fd, STDERR_FILENO) == STDERR_FILENO);
	for (int i = 0; i < 3; i++) {
		log_use_stderr(uses[i]);
		log_info("with_file", "n=%d", i);
	}
	log_close();
	for (int i = 0; i < 3; i++) {
		log_use_stderr(uses[i]);
		log_info("without", "n=%d", i);
	}
	log_use_stderr(LOG_STDERR_ALONE);
	cr_assert(dup2(kept, STDERR_FILENO) == STDERR_FILENO && close(kept) == 0 && close(fd) == 0);
	content(moved);
	cr_assert(strstr(text, "with_file n=1") && !strstr(text, "n=2"));
	cr_assert(strstr(text, "without n=0") && strstr(text, "without n=1"));
	cr_assert(!strstr(text, "with_file n=0"));
	content(path);
	cr_assert(strstr(text, "n=0") && strstr(text, "n=1") && strstr(text, "n=2"));
	cr_assert(!strstr(text, "without"));
}

Test(log, a_folder_that_is_not_there_keeps_the_old_file)
{
	cr_assert_eq(log_open_file("/nonexistent/x/log"), WEIR_ERR_IO);
	log_info("still", "n=%d", 1);
	cr_assert_not_null(strstr(content(path), "still n=1"));
}

Test(log, errno_survives)
{
	errno = ENOTTY;
	log_info("x", "error=%m");
	cr_assert_eq(errno, ENOTTY);
}

Test(log, only_known_facilities)
{
	cr_assert_eq(log_open_syslog("pgweir", "no such"), WEIR_ERR_NOT_FOUND);
}

Test(log, lines_of_several_processes_do_not_mix)
{
	unsigned lines = 0;

	for (int i = 0; i < 4; i++) {
		if (fork() == 0) {
			for (int k = 0; k < 10; k++)
				log_info("event", "from=%d", i);
			_exit(0);
		}
	}
	while (wait(NULL) > 0)
		;
	for (const char *at = content(path); (at = strstr(at, " INFO event from=")) != NULL; at++)
		lines += matches(at, "^ INFO event from=[0-3]\n");
	cr_assert_eq(lines, 40);
}

static int daemon_fd;

static int daemon_start(const char *at)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", at);
	daemon_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	return bind(daemon_fd, (struct sockaddr *)&addr, sizeof(addr));
}

static const char *daemon_read(void)
{
	ssize_t n = recv(daemon_fd, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

Test(log, syslog_gets_the_line_without_time_and_level)
{
	cr_assert_eq(daemon_start(moved), 0);
	cr_assert_eq(log_syslog_open(moved, "weir-test", LOG_LOCAL3), WEIR_OK);
	log_warn("client_login", "user=%s", "ann b");
	cr_assert(matches(daemon_read(),
	                  "^<156>[A-Z][a-z]{2} [ 0-9]{2} [0-9:]{8} weir-test\\[[0-9]+\\]: "
	                  "client_login user=\"ann b\"$"),
	          "got: %s", text);
}

/* Its queue is full, nobody reads: lines are dropped, not waited for, and the next reader hears. */
Test(log, a_syslog_daemon_that_hangs_holds_nobody_up, .timeout = 60)
{
	uint64_t dropped;
	unsigned read = 0, noted = 0;

	cr_assert_eq(daemon_start(moved), 0);
	cr_assert_eq(log_syslog_open(moved, "weir-test", LOG_DAEMON), WEIR_OK);
	for (int i = 0; i < 5000; i++)
		log_info("event", "i=%d", i);
	dropped = log_syslog_dropped();
	cr_assert(dropped > 0 && dropped < 5000, "%llu", (unsigned long long)dropped);
	while (*daemon_read())
		read++;
	cr_expect_eq(read + dropped, 5000);
	log_info("again", "");
	while (*daemon_read())
		noted += strstr(text, ": again") || strstr(text, ": syslog_dropped lines=");
	cr_expect_eq(noted, 2);
	cr_expect_eq(log_syslog_dropped(), dropped);
}

Test(log, a_syslog_daemon_may_come_late_and_again)
{
	cr_assert_eq(log_syslog_open(moved, "weir-test", LOG_DAEMON), WEIR_OK);
	log_info("nobody_there", "");
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(daemon_start(moved), 0);
		log_info("there", "i=%d", i);
		cr_expect_not_null(strstr(daemon_read(), i ? "i=1" : "i=0"));
		close(daemon_fd);
		unlink(moved);
	}
	cr_expect_eq(log_syslog_dropped(), 1);
}
