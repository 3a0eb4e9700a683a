/* SPDX-License-Identifier: PostgreSQL */
/*
 * The daemon's entry: arguments first, then the start-up order and its exact
 * reverse. Runs on the main thread, which is the control plane.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/err.h"
#include "base/hash.h"
#include "base/log.h"
#include "config/config.h"
#include "config/print.h"
#include "net/tls.h"
#include "pgweir/version.h"
#include "proxy/settings.h"
#include "worker/background.h"
#include "worker/control.h"
#include "worker/pidfile.h"
#include "worker/remote.h"
#include "worker/signals.h"
#include "worker/supervisor.h"

enum mode {
	MODE_RUN,
	MODE_CHECK,
	MODE_PRINT,
	MODE_DRAIN,
	MODE_RELOAD,
	MODE_SAMPLE,
	MODE_MANUAL,
	MODE_VERSION,
	MODE_HELP,
	MODE_USAGE
};

struct arguments {
	enum mode mode;
	bool is_quiet; /* nothing to standard error once it runs */
	bool is_daemon;
	const char *user; /* -u; NULL: what the file says */
	const char *path;
};

static const char usage[] =
	"usage: pgweir [-d] [-q] [-v] [-u USER] FILE.ini\n"
	"       pgweir --check | --print-config | --drain | --reload FILE.ini\n"
	"       pgweir --sample-config | --print-manual\n"
	"       pgweir --version | --help\n";

static bool is_flag(const char *arg, const char *name, const char *alias)
{
	return strcmp(arg, name) == 0 || (alias && strcmp(arg, alias) == 0);
}

static bool take_mode(const char *arg, enum mode *mode)
{
	static const struct {
		const char *name, *alias;
		enum mode mode;
	} known[] = {
		{ "--version", "-V", MODE_VERSION },       { "--check", NULL, MODE_CHECK },
		{ "--print-config", NULL, MODE_PRINT },    { "--drain", NULL, MODE_DRAIN },
		{ "--reload", NULL, MODE_RELOAD },         { "--sample-config", NULL, MODE_SAMPLE },
		{ "--help", "-h", MODE_HELP },             { "--print-manual", NULL, MODE_MANUAL },
	};

	for (size_t i = 0; i < WEIR_COUNTOF(known); i++) {
		if (is_flag(arg, known[i].name, known[i].alias)) {
			*mode = known[i].mode;
			return true;
		}
	}
	return false;
}

/* PgBouncer's: each has a short and a long form. */
static bool take_flag(const char *arg, struct arguments *a)
{
	static const char user[] = "--user=";

	if (is_flag(arg, "--verbose", "-v"))
		(void)setenv("PGWEIR_VERBOSE", "1", 1); /* so that a reload keeps it */
	else if (is_flag(arg, "--quiet", "-q"))
		a->is_quiet = true;
	else if (is_flag(arg, "--daemon", "-d"))
		a->is_daemon = true;
	else if (strncmp(arg, user, sizeof user - 1) == 0)
		a->user = arg + sizeof user - 1;
	else
		return false;
	return true;
}

static struct arguments parse_arguments(int argc, char **argv)
{
	struct arguments a = { .mode = MODE_RUN };

	for (int i = 1; i < argc; i++) {
		if (take_mode(argv[i], &a.mode) || take_flag(argv[i], &a))
			continue;
		if (is_flag(argv[i], "--user", "-u") && i + 1 < argc)
			a.user = argv[++i];
		else if (argv[i][0] != '-' && !a.path)
			a.path = argv[i];
		else
			return (struct arguments){ .mode = MODE_USAGE };
	}
	if (a.mode <= MODE_RELOAD && !a.path)
		a.mode = MODE_USAGE;
	return a;
}

static void log_notes(const struct config *cfg)
{
	for (size_t i = 0; i < cfg->note_count; i++)
		log_warn("config_note", "file=%s line=%u text=\"%s\"", cfg->notes[i].file,
			 cfg->notes[i].line, cfg->notes[i].text);
}

/* First: what can be opened now can be at a reload, and the files made are that user's. */
static bool become_user(const char *name)
{
	const struct passwd *pw = *name ? getpwnam(name) : NULL;

	if (!*name || (pw && pw->pw_uid == geteuid()))
		return true;
	if (!pw || initgroups(name, pw->pw_gid) || setgid(pw->pw_gid) || setuid(pw->pw_uid)) {
		log_error("user_change_failed", "user=%s error=\"%s\"", name,
			  pw ? strerror(errno) : "no such user");
		return false;
	}
	return true;
}

/*
 * Every client and every server is a file, and a container's soft limit may be 1024: up to the
 * hard limit they are ours to use. Nothing here waits with select(), which breaks at FD_SETSIZE.
 */
static void raise_file_limit(const struct config_globals *g)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0 && getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	if (limit.rlim_cur <= (rlim_t)g->max_client_conn)
		log_warn("file_limit_low", "files=%llu max_client_conn=%d",
			 (unsigned long long)limit.rlim_cur, g->max_client_conn);
}

/* False, and said on standard error: what happens would be told to nobody. */
static bool open_log(const struct config *cfg, const struct arguments *a)
{
	const struct config_globals *g = &cfg->global;

	log_set_level((enum log_level)config_log_level(g));
	if (*g->logfile && log_open_file(g->logfile) != WEIR_OK)
		return false;
	log_use_stderr(a->is_quiet ? LOG_STDERR_NEVER : LOG_STDERR_BESIDE);
	if (g->syslog)
		(void)log_open_syslog(g->syslog_ident, g->syslog_facility);
	return true;
}

/* Who started us is told; standard error is nobody's from now on. */
static void leave_foreground(int to_parent)
{
	if (to_parent < 0)
		return;
	background_ready(to_parent);
	log_use_stderr(LOG_STDERR_NEVER);
}

/* Without a log nobody would hear of what happens, without a pidfile nobody could end it. */
static int enter_background(const struct config_globals *g)
{
	if (!*g->pidfile || (!*g->logfile && !g->syslog)) {
		fputs("pgweir: -d needs pidfile, and logfile or syslog\n", stderr);
		return -1;
	}
	return background_begin();
}

/* to_parent: of background_begin, -1: in the foreground. */
static int run(struct config *cfg, int to_parent)
{
	const struct config_globals *g = &cfg->global;
	struct control *control;
	char why[512] = "";
	int status = 1;

	signals_block();
	hash_seed_init();
	raise_file_limit(g);
	if (!tls_prepare()) /* as it was when main tried */
		log_info("tls_sessions_large", "reason=\"no range of addresses\"");
	if (!pidfile_write(g->pidfile)) /* before the port: a second process takes no client */
		return 1;
	control = control_create(cfg, why, sizeof why);
	if (!control) {
		log_error("start_failed", "error=\"%s\"", why);
		pidfile_remove();
		return 1;
	}
	if (signals_start(control) == 0) {
		leave_foreground(to_parent);
		supervisor_ready();
		control_run(control);
		status = 0;
	}
	signals_stop();
	control_destroy(control);
	pidfile_remove();
	log_info("stopped", "status=%d", status);
	log_close();
	return status;
}

/* What the configuration names is read too: users, rules, keys and certificates. */
static int check(struct config *cfg)
{
	struct settings *settings;
	char why[512] = "";

	hash_seed_init();
	settings = settings_create(cfg, NULL, why, sizeof why);
	if (!settings) {
		fprintf(stderr, "pgweir: %s\n", why);
		return 1;
	}
	config_print_check(cfg, stdout);
	settings_put(&settings);
	return 0;
}

static int with_config(const struct arguments *a)
{
	struct config_error err;
	struct config *cfg = config_load(a->path, &err);
	char text[1024];
	int status = 0, to_parent = -1;

	if (!cfg) {
		config_error_text(&err, text, sizeof text);
		fprintf(stderr, "pgweir: %s\n", text);
		return 1;
	}
	if (a->mode == MODE_CHECK) {
		status = check(cfg);
	} else if (a->mode == MODE_PRINT) {
		config_print(cfg, stdout);
	} else if (a->mode == MODE_DRAIN) {
		status = remote_drain(cfg);
	} else if (a->mode == MODE_RELOAD) {
		status = remote_reload(cfg);
	} else if (!become_user(a->user ? a->user : cfg->global.user)) {
		status = 1;
	} else if (a->is_daemon && (to_parent = enter_background(&cfg->global)) < 0) {
		status = 1;
	} else if (!open_log(cfg, a)) {
		status = 1;
	} else {
		log_notes(cfg);
		status = run(cfg, to_parent);
	}
	config_put(&cfg);
	return status;
}

int main(int argc, char **argv)
{
	struct arguments a = parse_arguments(argc, argv);

	tls_prepare(); /* first of all: see there; without it sessions are larger */
	switch (a.mode) {
	case MODE_VERSION:
		printf("pgweir %s\n", PGWEIR_VERSION);
		return 0;
	case MODE_SAMPLE:
		config_print_sample(stdout);
		return 0;
	case MODE_MANUAL:
		config_print_manual(stdout);
		return 0;
	case MODE_HELP:
		fputs(usage, stdout);
		return 0;
	case MODE_USAGE:
		fputs(usage, stderr);
		return 2;
	default:
		return with_config(&a);
	}
}
