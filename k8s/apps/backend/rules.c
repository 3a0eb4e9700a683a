/* SPDX-License-Identifier: PostgreSQL */
/*
 * Checks of a request's body by jansson (duplicates refused, so that nobody
 * reads another value than we do), the balance rule, and a table of SQLSTATEs.
 */
#include "backend/rules.h"

#include <jansson.h>
#include <string.h>

#include "backend/amount.h"
#include "base/assert.h"

static const struct refusal bad_json = { 400, "Malformed request",
	                                     "The body is no JSON object, or has a name twice.", NULL };
static const struct refusal unknown_name = {
	422, "Invalid transfer",
	"A transfer has from_account, to_account, amount and note, and nothing else.", NULL
};
static const struct refusal bad_from = { 422, "Invalid transfer",
	                                     "from_account is the number of an account.",
	                                     "from_account" };
static const struct refusal bad_to = { 422, "Invalid transfer",
	                                   "to_account is the number of an account.", "to_account" };
static const struct refusal same_account = { 422, "Invalid transfer",
	                                         "A transfer needs two different accounts.",
	                                         "to_account" };
static const struct refusal bad_amount = {
	422, "Invalid transfer",
	"amount is a decimal string with at most two places, from 0.01 to 1000000000.00.", "amount"
};
static const struct refusal bad_note = { 422, "Invalid transfer",
	                                     "note is a text of at most 140 characters.", "note" };
static const struct refusal no_from = { 422, "Unknown account",
	                                    "There is no such account to send from.", "from_account" };
static const struct refusal no_to = { 422, "Unknown account",
	                                  "There is no such account to send to.", "to_account" };
static const struct refusal other_currency = { 422, "Different currencies",
	                                           "Both accounts must have the same currency.",
	                                           "to_account" };
const struct refusal rules_insufficient = { 409, "Insufficient funds",
	                                        "The account doesn't have that much.", "amount" };

static bool is_key_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
	       c == '_';
}

bool rules_key(const char *header, char key[KEY_MAX + 1])
{
	size_t len = header ? strlen(header) : 0;

	if (len >= 2 && header[0] == '"' && header[len - 1] == '"') {
		header++;
		len -= 2;
	}
	if (len < 8 || len > KEY_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!is_key_char(header[i]))
			return false;
	}
	memcpy(key, header, len);
	key[len] = '\0';
	return true;
}

static bool read_account(const json_t *value, int64_t *id)
{
	*id = json_is_integer(value) ? json_integer_value(value) : 0;
	return *id > 0;
}

static size_t utf8_length(const char *text)
{
	size_t count = 0;

	for (; *text; text++)
		count += ((unsigned char)*text & 0xc0) != 0x80;
	return count;
}

/* jansson has checked that it is UTF-8; control characters have no place in a note. */
static bool read_note(const json_t *value, char note[NOTE_MAX * 4 + 1])
{
	const char *text = "";

	if (value && !json_is_string(value))
		return false;
	if (value)
		text = json_string_value(value);
	if (utf8_length(text) > NOTE_MAX)
		return false;
	for (const char *p = text; *p; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return false;
	}
	memcpy(note, text, strlen(text) + 1);
	return true;
}

static size_t count_known(const json_t *body)
{
	static const char *const names[] = { "from_account", "to_account", "amount", "note" };
	size_t known = 0;

	for (size_t i = 0; i < WEIR_COUNTOF(names); i++)
		known += json_object_get(body, names[i]) != NULL;
	return known;
}

static const struct refusal *read_body(const json_t *body, struct transfer_request *r)
{
	const char *amount = json_string_value(json_object_get(body, "amount"));

	if (!read_account(json_object_get(body, "from_account"), &r->from))
		return &bad_from;
	if (!read_account(json_object_get(body, "to_account"), &r->to))
		return &bad_to;
	if (r->from == r->to)
		return &same_account;
	if (!amount || !amount_parse(amount, &r->amount))
		return &bad_amount;
	if (!read_note(json_object_get(body, "note"), r->note))
		return &bad_note;
	return count_known(body) == json_object_size(body) ? NULL : &unknown_name;
}

bool rules_body(const char *body, size_t len, struct transfer_request *r, struct refusal *no)
{
	json_t *root = json_loadb(body, len, JSON_REJECT_DUPLICATES, NULL);
	const struct refusal *found = json_is_object(root) ? read_body(root, r) : &bad_json;

	json_decref(root);
	if (found)
		*no = *found;
	return !found;
}

static const struct account_row *find_account(const struct account_row *rows, int count, int64_t id)
{
	for (int i = 0; i < count; i++) {
		if (rows[i].id == id)
			return &rows[i];
	}
	return NULL;
}

const struct refusal *rules_decide(const struct transfer_request *r, const struct account_row *rows,
                                   int count)
{
	const struct account_row *from = find_account(rows, count, r->from);
	const struct account_row *to = find_account(rows, count, r->to);

	WEIR_ASSERT(r->amount > 0 && r->from != r->to);
	if (!from)
		return &no_from;
	if (!to)
		return &no_to;
	if (strcmp(from->currency, to->currency) != 0)
		return &other_currency;
	return from->balance - r->amount < -from->overdraft ? &rules_insufficient : NULL;
}

/* Class or whole code -> step; the first that fits. */
static const struct {
	const char *prefix;
	enum next_step step;
} after_error[] = {
	{ "40", NEXT_RETRY },     /* serialization failure, deadlock, rolled back otherwise */
	{ "08", NEXT_RETRY },     /* connection lost; 08007: the outcome of COMMIT isn't known */
	{ "57P01", NEXT_RETRY },  /* the server is being shut down */
	{ "57P02", NEXT_RETRY },  /* it crashed */
	{ "57P03", NEXT_BUSY },   /* no primary for longer than pgweir lets requests wait */
	{ "25006", NEXT_RETRY },  /* what was the primary is a replica now */
	{ "25P02", NEXT_RETRY },  /* the transaction had failed before */
	{ "55P03", NEXT_RETRY },  /* a lock not granted in time */
	{ "57014", NEXT_BUSY },   /* cancelled: a time-out */
	{ "53", NEXT_BUSY },      /* too many connections, out of memory or disk */
	{ "23505", NEXT_RETRY },  /* the key was taken meanwhile: the repeat finds whose it is */
	{ "23514", NEXT_REFUSED } /* the table's own check of the balance */
};

enum next_step rules_after_error(const char *sqlstate)
{
	for (size_t i = 0; i < WEIR_COUNTOF(after_error); i++) {
		if (strncmp(sqlstate, after_error[i].prefix, strlen(after_error[i].prefix)) == 0)
			return after_error[i].step;
	}
	return NEXT_BUG;
}

bool rules_is_rolled_back(const char *sqlstate)
{
	return strncmp(sqlstate, "08", 2) != 0 && strncmp(sqlstate, "57P", 3) != 0;
}

uint32_t rules_pause_ms(unsigned attempt, uint32_t random)
{
	uint32_t top = 20u << (attempt < 6 ? attempt : 6);

	return top / 2 + random % (top / 2 + 1);
}
