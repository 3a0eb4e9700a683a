/* SPDX-License-Identifier: PostgreSQL */
/*
 * The rules of a transfer, without any I/O: what a client may ask for, what the
 * locked accounts allow, and what an error of the database means for it. Pure.
 */
#ifndef FINAI_RULES_H
#define FINAI_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KEY_MAX = 64, NOTE_MAX = 140, CURRENCY_LEN = 3 };

struct transfer_request {
	int64_t from, to;
	int64_t amount;              /* hundredths */
	char note[NOTE_MAX * 4 + 1]; /* NOTE_MAX characters of UTF-8 */
	char key[KEY_MAX + 1];       /* the client's Idempotency-Key */
};

/* What a client hears of a refusal; field may be NULL. All text is static. */
struct refusal {
	int status;
	const char *title;
	const char *detail;
	const char *field;
};

extern const struct refusal rules_insufficient; /* also for NEXT_REFUSED */

/* Letters, digits, "-", "_", 8 to 64 of them; a quoted string's quotes are taken off. */
bool rules_key(const char *header, char key[KEY_MAX + 1]);
/* The body as JSON; false and the refusal. key isn't touched. */
bool rules_body(const char *body, size_t len, struct transfer_request *r, struct refusal *no);

/* An account as it was locked. */
struct account_row {
	int64_t id;
	int64_t balance, overdraft; /* hundredths; overdraft is how far below 0 it may go */
	char currency[CURRENCY_LEN + 1];
};

/* NULL: it may be done. The static refusal otherwise. rows: those of from and to that exist. */
const struct refusal *rules_decide(const struct transfer_request *r, const struct account_row *rows,
                                   int count);

enum next_step {
	NEXT_RETRY,   /* a repeat under the same key is right, whether or not this try was committed */
	NEXT_REFUSED, /* the database's own check of the balance */
	NEXT_BUSY,    /* not now: the client may come again */
	NEXT_BUG      /* an error that a repeat won't cure */
};

/*
 * sqlstate: five characters. The key makes a repeat safe even where the outcome
 * of COMMIT is unknown (08007, a lost connection): the repeat locks the same
 * accounts, so it waits for a COMMIT still under way, and then finds the key.
 */
enum next_step rules_after_error(const char *sqlstate);
/* Behind a COMMIT that was sent: says this error that nothing was committed? */
bool rules_is_rolled_back(const char *sqlstate);

/* How long to wait before repeat `attempt` (from 1); random spreads it. */
uint32_t rules_pause_ms(unsigned attempt, uint32_t random);

#endif
