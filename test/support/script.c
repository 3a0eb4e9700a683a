/* SPDX-License-Identifier: PostgreSQL */
/* Protocol bytes from and to a readable notation, and a scripted peer on a socket. */
#include "support/script.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { SCRIPT_MAX = 1 << 20, READ_TIMEOUT_S = 5 };

static const char *put_escape(struct buf *to, const char *at)
{
	static const char names[] = "0nt\\}#%", values[] = "\0\n\t\\}#%";
	char hex[3] = { 0 };
	const char *name;

	if (*at == 'x') {
		cr_assert(at[1] && at[2], "\\x needs two digits");
		memcpy(hex, at + 1, 2);
		buf_append_u8(to, (uint8_t)strtoul(hex, NULL, 16));
		return at + 3;
	}
	name = *at ? strchr(names, *at) : NULL;
	cr_assert(name != NULL, "unknown escape \\%c", *at);
	buf_append_u8(to, (uint8_t)values[name - names]);
	return at + 1;
}

static const char *put_number(struct buf *to, const char *at)
{
	char *end;
	long n = strtol(at + 1, &end, 10);

	cr_assert(end != at + 1, "no number behind %c", *at);
	if (*at == '#')
		buf_append_u32(to, (uint32_t)n);
	else
		buf_append_u16(to, (uint16_t)n);
	return end;
}

static const char *put_body(struct buf *to, const char *at)
{
	while (*at != '}') {
		cr_assert(*at != '\0', "a message without its closing brace");
		if (*at == '\\')
			at = put_escape(to, at + 1);
		else if (*at == '#' || *at == '%')
			at = put_number(to, at);
		else
			buf_append_u8(to, (uint8_t)*at++);
	}
	return at + 1;
}

void script_bytes(struct buf *to, const char *notation)
{
	const char *at = notation;
	struct buf body;

	buf_init(&body, SCRIPT_MAX);
	while (*at) {
		if (*at == ' ' || *at == '\n' || *at == '\t') {
			at++;
			continue;
		}
		cr_assert(at[1] == '{', "expected <type>{ at: %s", at);
		if (*at != '*')
			buf_append_u8(to, (uint8_t)*at);
		buf_clear(&body);
		at = put_body(&body, at + 2);
		buf_append_u32(to, (uint32_t)body.len + 4);
		buf_append_slice(to, buf_slice(&body));
	}
	buf_fini(&body);
	cr_assert_eq(to->err, WEIR_OK);
}

static void print_byte(struct buf *to, unsigned char c)
{
	static const char special[] = "\\}#%";

	if (c == '\0')
		buf_append_str(to, "\\0");
	else if (c == '\n')
		buf_append_str(to, "\\n");
	else if (c == '\t')
		buf_append_str(to, "\\t");
	else if (strchr(special, c))
		buf_appendf(to, "\\%c", c);
	else if (c < 0x20 || c > 0x7e)
		buf_appendf(to, "\\x%02x", c);
	else
		buf_append_u8(to, c);
}

/* The length of the message that starts here, 0 if it isn't whole. */
static size_t message_len(const unsigned char *p, size_t left)
{
	size_t len;

	if (left < 5)
		return 0;
	len = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
	return len >= 4 && len <= left - 1 ? len + 1 : 0;
}

void script_print(struct buf *to, struct slice bytes)
{
	const unsigned char *p = (const unsigned char *)bytes.ptr;
	size_t left = bytes.len, len;

	while ((len = message_len(p, left)) != 0) {
		buf_appendf(to, "%s%c{", left == bytes.len ? "" : " ", p[0]);
		for (size_t i = 5; i < len; i++)
			print_byte(to, p[i]);
		buf_append_u8(to, '}');
		p += len;
		left -= len;
	}
	if (left)
		buf_appendf(to, "%s<%zu bytes>", left == bytes.len ? "" : " ", left);
}

void script_pair(int fds[2])
{
	struct timeval timeout = { .tv_sec = READ_TIMEOUT_S };

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	for (int i = 0; i < 2; i++)
		setsockopt(fds[i], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
}

void script_send(int fd, const char *notation)
{
	struct buf b;

	buf_init(&b, SCRIPT_MAX);
	script_bytes(&b, notation);
	for (size_t sent = 0; sent < b.len;) {
		ssize_t n = send(fd, b.data + sent, b.len - sent, MSG_NOSIGNAL);

		cr_assert(n > 0, "send: %s", strerror(errno));
		sent += (size_t)n;
	}
	buf_fini(&b);
}

static void read_exactly(int fd, struct buf *into, size_t len)
{
	char *to = buf_reserve(into, len);

	cr_assert(to != NULL);
	while (into->len < len) {
		ssize_t n = recv(fd, to + into->len, len - into->len, 0);

		if (n <= 0)
			break;
		into->len += (size_t)n;
	}
}

void script_expect(int fd, const char *notation)
{
	struct buf want, got, shown;

	buf_init(&want, SCRIPT_MAX);
	buf_init(&got, SCRIPT_MAX);
	buf_init(&shown, SCRIPT_MAX);
	script_bytes(&want, notation);
	read_exactly(fd, &got, want.len);
	script_print(&shown, buf_slice(&got));
	cr_assert(slice_equal(buf_slice(&want), buf_slice(&got)), "\n  expected: %s\n  got:      %.*s",
	          notation, (int)shown.len, shown.data);
	buf_fini(&want);
	buf_fini(&got);
	buf_fini(&shown);
}

void script_expect_closed(int fd)
{
	char c;
	ssize_t n = recv(fd, &c, 1, 0);

	cr_assert(n == 0 || (n < 0 && errno == ECONNRESET), "still open or has sent more");
}
