/* SPDX-License-Identifier: PostgreSQL */
/*
 * The table of reasons joined with the options and counters of their names.
 */
#include "proxy/pins.h"

#include <stdio.h>

#include "base/log.h"
#include "proxy/failure.h"
#include "proxy/serve.h"

/* No statement has such a name; a letter for the reason follows. */
#define REFUSED "pgweir_refused_"

static const struct reason {
	uint32_t pin;
	const char *option, *text;
} reasons[] = {
#define PIN_REASON(number, ID, name, text) { PIN_##ID, "pin_" #name, text },
#include "sql/pin_reasons.def"
};

static enum config_pin_policy policy_of(const struct config_database *db, uint32_t pin)
{
	switch (pin) {
#define PIN_REASON(number, ID, name, text) \
	case PIN_##ID:                     \
		return db->pin_##name;
#include "sql/pin_reasons.def"
	default:
		return PIN_POLICY_PIN;
	}
}

static void count(struct db_stats *stats, uint32_t pin)
{
	switch (pin) {
#define PIN_REASON(number, ID, name, text)      \
	case PIN_##ID:                          \
		stat_add(&stats->pins_##name, 1); \
		break;
#include "sql/pin_reasons.def"
	default:
		break;
	}
}

/* The first new reason with that policy; NULL: none. */
static const struct reason *find(const struct client *c, const struct plan *plan,
				 enum config_pin_policy policy)
{
	uint32_t pins = plan->pins & ~c->pins;

	if (!pins || c->tenant->pool_mode == POOL_MODE_SESSION)
		return NULL;
	for (size_t i = 0; i < WEIR_COUNTOF(reasons); i++)
		if ((pins & reasons[i].pin) && policy_of(c->tenant->db, reasons[i].pin) == policy)
			return &reasons[i];
	return NULL;
}

static void refusal(const struct reason *r, struct pg_error *e)
{
	pg_error_set(e, "0A000", "not allowed in transaction pooling: %s", r->text);
	snprintf(e->hint, sizeof e->hint,
		 "It would keep a server connection for this session alone. Use a database entry with "
		 "pool_mode=session, or have %s set to pin.", r->option);
}

bool pins_refuse(struct client *c, const struct request *req, const struct plan *plan)
{
	const struct reason *r = find(c, plan, PIN_POLICY_REFUSE);
	struct pg_error e;

	if (!r)
		return false;
	stat_add(&c->tenant->stats->pins_refused, 1);
	refusal(r, &e);
	serve_error(c, req, &e);
	return true;
}

bool pins_refuse_in_batch(struct client *c, const struct request *req, const struct plan *plan)
{
	const struct reason *r = find(c, plan, PIN_POLICY_REFUSE);
	char name[sizeof REFUSED + 1];

	if (!r || replies_newest(&c->server->replies)->has_error)
		return false;
	stat_add(&c->tenant->stats->pins_refused, 1);
	snprintf(name, sizeof name, REFUSED "%c", (int)('a' + (r - reasons)));
	failure_in_batch(c, req, name);
	return true;
}

bool pins_take_refusal(const struct msg_error *from, struct pg_error *out)
{
	struct slice text = from->message;
	const char *at = slice_is(from->sqlstate, "26000") ?
				 memmem(text.ptr, text.len, REFUSED, strlen(REFUSED)) : NULL;
	size_t i;

	if (!at || at + strlen(REFUSED) == text.ptr + text.len)
		return false;
	i = (size_t)(at[strlen(REFUSED)] - 'a');
	if (i >= WEIR_COUNTOF(reasons))
		return false;
	refusal(&reasons[i], out);
	return true;
}

void pins_warn(struct client *c, const struct plan *plan)
{
	const struct reason *r = find(c, plan, PIN_POLICY_WARN);
	char text[256];

	if (!r)
		return;
	stat_add(&c->tenant->stats->pins_warned, 1);
	snprintf(text, sizeof text, "this session keeps its server connection from now on: %s",
		 r->text);
	if (!c->server || !c->server->pass_left) /* not inside of a message on its way to the client */
		client_send_notice(c, "WARNING", "01000", text);
	log_info("pin_warned", "id=%llu db=%s user=%s reason=\"%s\"", (unsigned long long)c->id,
		 c->tenant->database, c->tenant->user, r->text);
}

_Static_assert((PIN_SESSION_STATE << 1) - 1 <= UINT16_MAX, "struct client has room for each");

void pins_add(struct client *c, uint32_t pins)
{
	uint32_t added = pins & ~c->pins;

	if (!added)
		return;
	c->pins |= (uint16_t)added;
	stat_add(&c->tenant->stats->pins, 1);
	for (size_t i = 0; i < WEIR_COUNTOF(reasons); i++)
		if (added & reasons[i].pin)
			count(c->tenant->stats, reasons[i].pin);
	log_debug("client_pinned", "id=%llu reasons=%#x", (unsigned long long)c->id, c->pins);
}
