/* SPDX-License-Identifier: PostgreSQL */
/* Log lines: conversions as printf has them, hostile values kept to their place. */
#include "base/log_line.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <stdint.h>
#include <string.h>

__attribute__((format(printf, 2, 3))) static void expect(const char *text, const char *fmt, ...)
{
	struct log_line line;
	va_list args;

	log_line_init(&line);
	va_start(args, fmt);
	log_line_vformat(&line, fmt, args);
	va_end(args);
	log_line_end(&line);
	cr_assert_eq(line.text[line.len - 1], '\n');
	line.text[line.len - 1] = '\0';
	cr_assert_str_eq(line.text, text);
}

Test(log_line, numbers_of_every_length)
{
	expect("a=-5 b=7", "a=%d b=%u", -5, 7u);
	expect("a=-5000000000 b=5000000000", "a=%ld b=%lu", -5000000000l, 5000000000ul);
	expect("a=-5000000000 b=5000000000", "a=%lld b=%llu", -5000000000ll, 5000000000ull);
	expect("n=18446744073709551615", "n=%zu", SIZE_MAX);
	expect("n=-1", "n=%zd", (ssize_t)-1);
	expect("n=-1 m=255", "n=%hhd m=%hhu", (signed char)-1, (unsigned char)255);
	expect("lsn=1/0000ABCD", "lsn=%X/%08X", 1u, 0xabcdu);
	expect("o=17 x=0xff", "o=%o x=%#x", 15u, 255u);
	expect("ms=1.50 p=12%", "ms=%.2f p=%d%%", 1.5, 12);
	expect("n=    7 m=7    .", "n=%*d m=%-*d.", 5, 7, 5, 7);
}

Test(log_line, plain_values_stay_plain)
{
	const char *volatile nothing = NULL;

	expect("user=ann db=shop c=x", "user=%s db=%s c=%c", "ann", "shop", 'x');
	expect("user=ann", "user=%.*s", 3, "annabel");
	expect("user=an", "user=%.2s", "annabel");
	expect("user=(null)", "user=%s", nothing);
	expect("addr=10.0.0.1:5432", "addr=%s:%d", "10.0.0.1", 5432);
	expect("name=\xc3\xa4\xc3\xb6", "name=%s", "\xc3\xa4\xc3\xb6");
}

Test(log_line, values_with_blanks_get_quotes)
{
	expect("error=\"no route to host\" n=1", "error=%s n=%d", "no route to host", 1);
	expect("user=\"\" db=x", "user=%s db=%s", "", "x");
	expect("user=\"a=b\"", "user=%s", "a=b");
	expect("user=\"say \\\"hi\\\"\"", "user=%s", "say \"hi\"");
	expect("user=\"back\\\\slash\"", "user=%s", "back\\slash");
	expect("text=\"as \\\"given\\\"\"", "text=\"%s\"", "as \"given\"");
	expect("plain words", "%s", "plain words");
}

Test(log_line, no_value_breaks_or_forges_a_line)
{
	expect("user=\"a\\nb\\rc\\td\"", "user=%s", "a\nb\rc\td");
	expect("user=\"\\x1b[31m\\x7f\\x01\"", "user=%s", "\x1b[31m\x7f\x01");
	expect("free\\ntext", "%s", "free\ntext");
	expect("c1=\\xc2\\x9b1m", "c1=%s",
	       "\xc2\x9b"
	       "1m");
	expect("c=\"\\x00\"", "c=%c", 0);
}

Test(log_line, errno_has_its_text)
{
	errno = ENOENT;
	expect("error=\"No such file or directory\"", "error=%m");
}

Test(log_line, a_long_line_is_cut_and_marked)
{
	static char value[LOG_LINE_MAX * 2];
	struct log_line line;

	memset(value, 'v', sizeof(value) - 1);
	log_line_init(&line);
	log_line_raw(&line, value);
	log_line_end(&line);
	cr_assert_lt(line.len, LOG_LINE_MAX);
	cr_assert_eq(strlen(line.text), line.len);
	cr_assert_str_eq(line.text + line.len - 5, "v...\n");
}

Test(log_line, a_line_of_just_the_room_is_not_cut)
{
	struct log_line line;

	log_line_init(&line);
	for (size_t i = line.cut_at; i > 0; i--)
		log_line_raw(&line, "x");
	log_line_end(&line);
	cr_assert_str_eq(line.text + line.len - 2, "x\n");
}
