/* SPDX-License-Identifier: PostgreSQL */
/* The tests' own notation of protocol bytes: there and back, and over a socket. */
#include "support/script.h"
#include "support/trace.h"

#include <criterion/criterion.h>

#include <unistd.h>

Test(script, counts_lengths_and_knows_escapes)
{
	struct buf b;

	buf_init(&b, 1000);
	script_bytes(&b, "Q{hi\\0} S{}\n*{#196608\\x41%258}");
	cr_assert(slice_equal(buf_slice(&b),
	                      slice_of("Q\0\0\0\x07hi\0S\0\0\0\x04\0\0\0\x0b\0\x03\0\0A\x01\x02", 24)));
	buf_fini(&b);
}

Test(script, prints_what_it_reads)
{
	const char *notation = "T{a\\0\\x80\\}} Z{I}";
	struct buf bytes;
	struct trace t;

	trace_init(&t);
	buf_init(&bytes, 1000);
	script_bytes(&bytes, notation);
	script_print(&t.text, buf_slice(&bytes));
	trace_expect(&t, notation);
	script_print(&t.text, slice_of(bytes.data, bytes.len - 1));
	trace_expect(&t, "T{a\\0\\x80\\}} <5 bytes>");
	buf_fini(&bytes);
	trace_fini(&t);
}

Test(script, speaks_over_a_socket)
{
	int fds[2];

	script_pair(fds);
	script_send(fds[0], "Q{select 1\\0} X{}");
	script_expect(fds[1], "Q{select 1\\0}");
	script_expect(fds[1], "X{}");
	close(fds[0]);
	script_expect_closed(fds[1]);
	close(fds[1]);
}
