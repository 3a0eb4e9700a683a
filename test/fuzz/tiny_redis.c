/* SPDX-License-Identifier: PostgreSQL */
/*
 * See tiny_redis.h. Commands come from pgweir itself, so they are read without
 * doubt: an array of bulk strings each.
 */
#include "fuzz/tiny_redis.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"

enum {
	ARGS_MAX = 40,
	KEYS_MAX = 64,
	KEY_BYTES = 128,
	VALUE_BYTES = 4096,
	IN_BYTES = 1 << 16,
	OUT_MAX = 1 << 18,
	PATH_BYTES = 64,
	LIFE_MS = 20000,
};

struct conn {
	int fd; /* -1: none */
	bool is_subscribed;
	char channel[KEY_BYTES];
	size_t len;
	char in[IN_BYTES]; /* commands that wait */
};

struct value {
	char key[KEY_BYTES];
	size_t len;
	char bytes[VALUE_BYTES];
};

struct command {
	size_t argc, whole;
	struct slice argv[ARGS_MAX];
};

static int listen_fds[TINY_NODES] = { -1, -1 };
static char paths[TINY_NODES][PATH_BYTES];
static struct conn conns[TINY_CONNS];
static struct value values[KEYS_MAX];
static size_t value_count;
static unsigned incarnation;

/* --- sockets --- */

/*
 * A fuzzer ends without a last word, so the file is gone as soon as it is there: whoever holds it
 * open is connected to through /proc.
 */
static void listen_once(unsigned node)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), file;

	snprintf(addr.sun_path, sizeof addr.sun_path, "/tmp/pgweir-fuzz-%ld-%u", (long)getpid(), node);
	if (bind(fd, (const struct sockaddr *)&addr, sizeof addr) != 0 || listen(fd, TINY_CONNS) != 0)
		abort();
	file = open(addr.sun_path, O_PATH | O_CLOEXEC);
	if (file < 0 || unlink(addr.sun_path) != 0)
		abort();
	snprintf(paths[node], PATH_BYTES, "/proc/self/fd/%d", file);
	listen_fds[node] = fd;
}

const char *tiny_redis_path(unsigned node)
{
	if (listen_fds[0] < 0)
		for (unsigned i = 0; i < TINY_NODES; i++)
			listen_once(i);
	return paths[node];
}

void tiny_redis_hang_up(unsigned i)
{
	struct conn *c = &conns[i % TINY_CONNS];

	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->is_subscribed = false;
	c->len = 0;
}

void tiny_redis_begin(void)
{
	(void)tiny_redis_path(0);
	for (unsigned i = 0; i < TINY_CONNS; i++)
		conns[i].fd = -1;
	value_count = 0;
	incarnation = 0;
}

void tiny_redis_end(void)
{
	for (unsigned i = 0; i < TINY_CONNS; i++)
		tiny_redis_hang_up(i);
	for (unsigned i = 0; i < TINY_NODES; i++)
		for (int fd; (fd = accept(listen_fds[i], NULL, NULL)) >= 0;)
			close(fd);
}

void tiny_redis_restart(void)
{
	for (unsigned i = 0; i < TINY_CONNS; i++)
		tiny_redis_hang_up(i);
	value_count = 0;
	incarnation++;
}

static bool accept_one(int listen_fd)
{
	int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	for (unsigned i = 0; fd >= 0 && i < TINY_CONNS; i++) {
		if (conns[i].fd >= 0)
			continue;
		conns[i].fd = fd;
		return true;
	}
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool read_more(struct conn *c)
{
	ssize_t n = c->fd < 0 ? 0 : recv(c->fd, c->in + c->len, IN_BYTES - c->len, 0);

	if (n <= 0)
		return false;
	c->len += (size_t)n;
	return true;
}

bool tiny_redis_read(void)
{
	bool has_come = false;

	for (unsigned i = 0; i < TINY_NODES; i++)
		has_come |= accept_one(listen_fds[i]);
	for (unsigned i = 0; i < TINY_CONNS; i++)
		has_come |= read_more(&conns[i]);
	return has_come;
}

static void send_bytes(struct conn *c, struct slice bytes)
{
	if (c->fd >= 0 && bytes.len)
		(void)!send(c->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
}

/* --- commands --- */

static bool number_next(const struct conn *c, size_t *at, size_t *number)
{
	const char *end = memchr(c->in + *at, '\n', c->len - *at);

	if (!end)
		return false;
	*number = strtoul(c->in + *at + 1, NULL, 10);
	*at = (size_t)(end - c->in) + 1;
	return true;
}

/* The oldest, whole; false: none. */
static bool command_next(const struct conn *c, struct command *out)
{
	size_t at = 0, len;

	if (c->fd < 0 || !c->len || !number_next(c, &at, &out->argc) || out->argc > ARGS_MAX)
		return false;
	for (size_t i = 0; i < out->argc; i++) {
		if (at >= c->len || !number_next(c, &at, &len) || c->len - at < len + 2)
			return false;
		out->argv[i] = slice_of(c->in + at, len);
		at += len + 2;
	}
	out->whole = at;
	return true;
}

static void command_drop(struct conn *c, const struct command *command)
{
	memmove(c->in, c->in + command->whole, c->len - command->whole);
	c->len -= command->whole;
}

static struct value *find(struct slice key)
{
	for (size_t i = 0; i < value_count; i++)
		if (slice_is(key, values[i].key))
			return &values[i];
	return NULL;
}

static void add_bulk(struct buf *out, struct slice bytes)
{
	buf_appendf(out, "$%zu\r\n", bytes.len);
	buf_append_slice(out, bytes);
	buf_append_str(out, "\r\n");
}

static void add_value(struct buf *out, struct slice key)
{
	struct value *v = find(key);

	if (v)
		add_bulk(out, slice_of(v->bytes, v->len));
	else
		buf_append_str(out, "$-1\r\n");
}

static void set(const struct command *m, struct buf *out)
{
	struct value *v = find(m->argv[1]);
	bool is_if_absent = m->argc == 6;

	if ((v && is_if_absent) || (!v && value_count == KEYS_MAX) ||
	    m->argv[1].len >= KEY_BYTES || m->argv[2].len > VALUE_BYTES) {
		buf_append_str(out, v && is_if_absent ? "$-1\r\n" : "-OOM\r\n");
		return;
	}
	if (!v) {
		v = &values[value_count++];
		memcpy(v->key, m->argv[1].ptr, m->argv[1].len);
		v->key[m->argv[1].len] = '\0';
	}
	v->len = m->argv[2].len;
	memcpy(v->bytes, m->argv[2].ptr, v->len);
	buf_append_str(out, "+OK\r\n");
}

/* Of the whole cluster, as its bus brings it. */
static void publish(const struct command *m, struct buf *out)
{
	struct buf b;

	buf_init(&b, OUT_MAX);
	buf_append_str(&b, "*3\r\n");
	add_bulk(&b, slice_str("message"));
	add_bulk(&b, m->argv[1]);
	add_bulk(&b, m->argv[2]);
	for (unsigned i = 0; i < TINY_CONNS; i++)
		if (conns[i].is_subscribed && slice_is(m->argv[1], conns[i].channel))
			send_bytes(&conns[i], buf_slice(&b));
	buf_fini(&b);
	buf_append_str(out, ":1\r\n");
}

static void subscribe(struct conn *c, const struct command *m, struct buf *out)
{
	c->is_subscribed = m->argv[1].len < KEY_BYTES;
	snprintf(c->channel, KEY_BYTES, "%.*s", (int)m->argv[1].len, m->argv[1].ptr);
	buf_append_str(out, "*3\r\n");
	add_bulk(out, slice_str("subscribe"));
	add_bulk(out, m->argv[1]);
	buf_append_str(out, ":1\r\n");
}

static void info(struct buf *out)
{
	char text[160];
	int len = snprintf(text, sizeof text, "run_id:%040u\r\nrole:master\r\nmaster_replid:%040u\r\n",
	                   incarnation, incarnation);

	add_bulk(out, slice_of(text, (size_t)len));
}

static void add_node(struct buf *out, const char *path)
{
	buf_append_str(out, "*3\r\n");
	add_bulk(out, slice_str(path));
	buf_appendf(out, ":%d\r\n", TINY_PORT);
	add_bulk(out, slice_str("id"));
}

static void cluster(const struct command *m, struct buf *out)
{
	if (slice_is(m->argv[1], "INFO")) {
		add_bulk(out, slice_str("cluster_state:ok\r\ncluster_current_epoch:1\r\n"));
		return;
	}
	buf_append_str(out, "*2\r\n*3\r\n:0\r\n:8191\r\n");
	add_node(out, paths[0]);
	buf_append_str(out, "*3\r\n:8192\r\n:16383\r\n");
	add_node(out, paths[1]);
}

static void sentinel(struct buf *out)
{
	buf_append_str(out, "*2\r\n");
	add_bulk(out, slice_str(paths[0]));
	add_bulk(out, slice_str("6379"));
}

static void run(struct conn *c, const struct command *m, struct buf *out)
{
	struct slice name = m->argv[0];
	struct value *v = m->argc > 1 ? find(m->argv[1]) : NULL;

	if (slice_is(name, "INFO")) {
		info(out);
	} else if (slice_is(name, "PING")) {
		buf_append_str(out, "+PONG\r\n");
	} else if (slice_is(name, "MGET")) {
		buf_appendf(out, "*%zu\r\n", m->argc - 1);
		for (size_t i = 1; i < m->argc; i++)
			add_value(out, m->argv[i]);
	} else if (slice_is(name, "PTTL")) {
		buf_appendf(out, ":%d\r\n", v ? LIFE_MS : -2);
	} else if (slice_is(name, "GETRANGE")) {
		add_bulk(out, v ? slice_of(v->bytes, v->len) : slice_of("", 0));
	} else if (slice_is(name, "SET")) {
		set(m, out);
	} else if (slice_is(name, "PUBLISH")) {
		publish(m, out);
	} else if (slice_is(name, "SUBSCRIBE")) {
		subscribe(c, m, out);
	} else if (slice_is(name, "CLUSTER")) {
		cluster(m, out);
	} else if (slice_is(name, "SENTINEL")) {
		sentinel(out);
	} else {
		buf_append_str(out, "+OK\r\n");
	}
}

bool tiny_redis_answer(unsigned i)
{
	struct conn *c = &conns[i % TINY_CONNS];
	struct command m;
	struct buf out;

	if (!command_next(c, &m))
		return false;
	buf_init(&out, OUT_MAX);
	run(c, &m, &out);
	command_drop(c, &m);
	send_bytes(c, buf_slice(&out));
	buf_fini(&out);
	return true;
}

void tiny_redis_say(unsigned i, struct slice bytes)
{
	struct conn *c = &conns[i % TINY_CONNS];
	struct command m;

	if (command_next(c, &m))
		command_drop(c, &m);
	send_bytes(c, bytes);
}

void tiny_redis_redirect(unsigned i, unsigned node, bool is_ask)
{
	char text[PATH_BYTES + 32];
	int len = snprintf(text, sizeof text, "-%s 1 %s:%d\r\n", is_ask ? "ASK" : "MOVED",
	                   paths[node % TINY_NODES], TINY_PORT);

	tiny_redis_say(i, slice_of(text, (size_t)len));
}
