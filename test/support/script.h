/* SPDX-License-Identifier: PostgreSQL */
/*
 * Protocol bytes in a notation that people read. `Q{select 1\0}` is a message
 * with its length counted for you, `*{\x00\x03\x00\x00user\0x\0\0}` one without
 * a type byte (startup). \0 \n \t \\ \} and \xNN are escapes; messages may be
 * apart by blanks. `#n`, `%n` in a body: n as 32 and 16 bits, big-endian.
 */
#ifndef WEIR_TEST_SUPPORT_SCRIPT_H
#define WEIR_TEST_SUPPORT_SCRIPT_H

#include "base/buf.h"
#include "base/slice.h"

/* Appends the bytes of the notation; a mistake in it ends the test. */
void script_bytes(struct buf *to, const char *notation);

/*
 * Appends typed messages in the notation, apart by one blank. Bytes that aren't
 * printable become \0, \n, \t or \xNN; what is no whole message becomes <n bytes>.
 */
void script_print(struct buf *to, struct slice bytes);

/* A connected pair of sockets; blocking, but a read gives up after 5 s. */
void script_pair(int fds[2]);
void script_send(int fd, const char *notation);

/* Reads as many bytes as the notation has; ends the test where they differ. */
void script_expect(int fd, const char *notation);

/* The peer has closed: the next read gives nothing. */
void script_expect_closed(int fd);

#endif
