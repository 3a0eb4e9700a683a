/* SPDX-License-Identifier: PostgreSQL */
/*
 * A hostile server behind a whole proxy, and clients that ask in any order, or strangers
 * who have yet to say who they are. The
 * first byte says how the tier is made; then come steps of at least two bytes:
 * what is done and by whom, and which message of a table, or its type, or how
 * many bytes. tier_of_one.c checks what comes back.
 */
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/slice.h"
#include "fuzz/fake_time.h"
#include "fuzz/tier_of_one.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 2048, STEPS_MAX = 128, LONG_BYTES = 70000, BODY_MAX = 255, HEADER = 5 };

/* The first byte of a step: what, and whose. */
enum {
	STEP_ASK,         /* a message of asks[] by a client */
	STEP_TELL,        /* one of tells[] by a server */
	STEP_CLIENT_SAYS, /* any type, length and body */
	STEP_SERVER_SAYS,
	STEP_CLIENT_BYTES,
	STEP_SERVER_BYTES,
	STEP_SERVER_LONG, /* a type, its body longer than any that is looked at */
	STEP_EVENT,
	STEP_WHAT = 7,
	STEP_SECOND = 8,   /* the second client or server */
	STEP_THIRD = 16,   /* the third server */
	STEP_HURRIED = 32, /* the next step follows before anything of this one is looked at */
};

struct message {
	char type;
	const char *body;
	size_t len;
};

#define M(type, body) { type, body, sizeof(body) - 1 }
#define Q(sql) M('Q', sql "\0")

static const struct message asks[] = {
	Q("SELECT 1"), Q("BEGIN"), Q("COMMIT"), Q("ROLLBACK"), Q("SELECT * FROM t"),
	Q("INSERT INTO t VALUES (1)"), Q("SET DateStyle = 'German'"), Q("RESET ALL"),
	Q("LISTEN a"), Q("UNLISTEN *"), Q("NOTIFY a"), Q("COPY t FROM STDIN"), Q("COPY t TO STDOUT"),
	Q("PREPARE p AS SELECT 1"), Q("EXECUTE p"), Q("DEALLOCATE ALL"), Q("DISCARD ALL"),
	Q("CREATE TEMP TABLE x (i int)"), Q("SELECT pg_advisory_lock(1)"), Q("SAVEPOINT s"),
	Q("ROLLBACK TO s"), Q("SELECT 1; SELECT 2"), Q(""), Q("CREATE TABLE y ()"),
	Q("SET ROLE x"), Q("SELECT nextval('q')"), Q("DECLARE c CURSOR WITH HOLD FOR SELECT 1"),
	Q("BEGIN; LISTEN a; COMMIT"), Q("SHOW pgweir.lsn"), Q("SET LOCAL a.b = 'c'"),
	M('P', "p\0SELECT * FROM t WHERE i = $1\0\0\0"), M('P', "\0SELECT 1\0\0\0"),
	M('P', "q\0INSERT INTO t VALUES (1)\0\0\0"), M('P', "r\0COPY t FROM STDIN\0\0\0"),
	M('P', "\0BEGIN\0\0\0"), M('P', "\0LISTEN a\0\0\0"), M('P', "o\0SET ROLE x\0\0\0"),
	M('B', "\0p\0\0\0\0\1\0\0\0\0011\0\0"), M('B', "\0\0\0\0\0\0\0\0"),
	M('B', "\0q\0\0\0\0\0\0\0"),
	M('B', "\0r\0\0\0\0\0\0\0"), M('B', "\0o\0\0\0\0\0\0\0"), M('D', "Sp\0"), M('D', "S\0"),
	M('D', "P\0"), M('D', "Sq\0"), M('E', "\0\0\0\0\0"), M('E', "\0\0\0\0\1"), M('C', "Sp\0"),
	M('C', "Sq\0"), M('C', "P\0"), M('S', ""), M('H', ""), M('d', "1\n"), M('c', ""),
	M('f', "no\0"),
	M('F', "\0\0\0\1\0\0\0\0\0\0"), M('X', ""),
};

#define FIELDS(severity, code) "S" severity "\0V" severity "\0C" code "\0Mtext\0\0"

static const struct message tells[] = {
	M('1', ""), M('2', ""), M('3', ""), M('n', ""), M('s', ""), M('I', ""),
	M('Z', "I"), M('Z', "T"),
	M('Z', "E"), M('Z', "X"), M('T', "\0\1i\0\0\0\0\0\0\0\0\0\0\x17\0\4\xff\xff\xff\xff\0\0"),
	M('T', "\0\1j\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"), M('T', "\0\0"),
	M('t', "\0\1\0\0\0\x17"), M('t', "\0\0"), M('D', "\0\1\0\0\0\0011"), M('D', "\0\1\0\0\0\2ta"),
	M('D', "\0\1\0\0\0\0"), M('C', "SELECT 1\0"), M('C', "INSERT 0 1\0"), M('C', "BEGIN\0"),
	M('C', "SET\0"), M('C', "COPY 1\0"), M('E', FIELDS("ERROR", "42601")),
	M('E', FIELDS("FATAL", "57P01")), M('E', FIELDS("ERROR", "25006")),
	M('E', FIELDS("ERROR", "26000")), M('E', FIELDS("ERROR", "0A000")),
	M('E', "SERROR\0VERROR\0C0A000\0Mcached plan must not change result type\0"
	       "RRevalidateCachedQuery\0\0"),
	M('E', FIELDS("ERROR", "42P05")), M('E', FIELDS("FATAL", "57P03")), M('E', ""),
	M('N', FIELDS("NOTICE", "00000")), M('A', "\0\0\0\x4e" "a\0payload\0"),
	M('S', "DateStyle\0German, DMY\0"), M('S', "server_version\0017.1\0"),
	M('S', "in_hot_standby\0on\0"), M('G', "\0\0\1\0\0"), M('H', "\0\0\1\0\0"), M('W', "\0\0\0"),
	M('d', "1\n"), M('c', ""), M('V', "\xff\xff\xff\xff"), M('R', "\0\0\0\0"),
	M('R', "\0\0\0\5salt"), M('R', "\0\0\0\12SCRAM-SHA-256\0\0"), M('K', "\0\0\0\x4dkey!"),
	M('K', "\0\0\0\x4d" "0123456789abcdef0123456789abcdef"), M('v', "\0\0\0\0\0\0\0\0"),
};

struct input {
	const uint8_t *at, *end;
};

static uint8_t byte_next(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static struct slice bytes_next(struct input *in, size_t len)
{
	size_t left = (size_t)(in->end - in->at);
	struct slice s = slice_of(in->at, len < left ? len : left);

	in->at += s.len;
	return s;
}

static void say(unsigned who, bool is_client, struct slice bytes)
{
	if (is_client)
		tier_client_send(who % TIER_CLIENTS, bytes);
	else
		tier_server_send(who, bytes);
}

static void say_message(unsigned who, bool is_client, char type, struct slice body)
{
	static char bytes[HEADER + LONG_BYTES];
	size_t len = body.len + HEADER - 1;

	bytes[0] = type;
	for (unsigned i = 1; i < HEADER; i++)
		bytes[i] = (char)(len >> (8 * (HEADER - 1 - i)));
	memcpy(bytes + HEADER, body.ptr, body.len);
	say(who, is_client, slice_of(bytes, HEADER + body.len));
}

static void say_of(unsigned who, bool is_client, const struct message *m)
{
	say_message(who, is_client, m->type, slice_of(m->body, m->len));
}

static void happen(unsigned who, uint8_t event)
{
	static const uint64_t spans_us[8] = {
		[3] = 20 * 1000, [4] = 110 * 1000, [5] = 1100 * 1000, [7] = 31 * 1000 * 1000,
	};

	switch (event % 8) {
	case 0:
		tier_client_hang_up(who % TIER_CLIENTS);
		break;
	case 1:
		tier_server_hang_up(who);
		break;
	case 2:
	case 6:
		tier_notify(event & 4 ? "a" : "b");
		break;
	default:
		fake_time_pass_us(spans_us[event % 8]);
		break;
	}
}

static void step(struct input *in)
{
	static const char filler[LONG_BYTES];
	uint8_t what = byte_next(in), arg = byte_next(in);
	unsigned who = what & STEP_THIRD ? 2 : what & STEP_SECOND ? 1 : 0;
	unsigned kind = what & STEP_WHAT;
	bool is_client = kind == STEP_CLIENT_SAYS || kind == STEP_CLIENT_BYTES;

	switch (kind) {
	case STEP_ASK:
		say_of(who, true, &asks[arg % WEIR_COUNTOF(asks)]);
		break;
	case STEP_TELL:
		say_of(who, false, &tells[arg % WEIR_COUNTOF(tells)]);
		break;
	case STEP_CLIENT_SAYS:
	case STEP_SERVER_SAYS:
		say_message(who, is_client, (char)arg, bytes_next(in, byte_next(in)));
		break;
	case STEP_CLIENT_BYTES:
	case STEP_SERVER_BYTES:
		say(who, is_client, bytes_next(in, arg));
		break;
	case STEP_SERVER_LONG:
		say_message(who, false, (char)arg, slice_of(filler, sizeof filler));
		break;
	default:
		happen(who, arg);
		break;
	}
	if (!(what & STEP_HURRIED))
		tier_settle();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };
	uint8_t how = byte_next(&in);
	bool is_of_strangers = how & 128;
	const struct tier_ways ways = {
		.is_of_strangers = is_of_strangers,
		.auth = is_of_strangers ? (enum tier_auth)((how >> 1) % TIER_AUTHS) : TIER_AUTH_ANY,
		.is_session_pool = how & 1,
		.is_replication = !is_of_strangers && (how & 6) == 6,
		.has_own_log_in = how & 8,
		.has_3_2 = how & 16,
		.has_settings = how & 32,
		.is_on_ring = how & 64,
	};

	if (size < 3 || size > INPUT_MAX)
		return 0;
	fake_time_begin();
	tier_open(&ways);
	tier_client_send(0, slice_of("", 0));
	for (unsigned i = 0; i < STEPS_MAX && in.at < in.end; i++)
		step(&in);
	tier_close();
	return 0;
}
