/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a statement does to the session: effects, which pgweir can follow from
 * server to server, and pins, which tie the client to one. Plain data.
 */
#ifndef WEIR_SQL_SESSION_EFFECT_H
#define WEIR_SQL_SESSION_EFFECT_H

#include <stdbool.h>
#include <stdint.h>

/* Why a client must keep its server connection; bit set. */
enum pin_reason {
#define PIN_REASON(number, ID, name, text) PIN_##ID = 1u << number,
#include "sql/pin_reasons.def"
};

enum effect_kind {
	EFFECT_SET,         /* SET [SESSION] name = value */
	EFFECT_SET_LOCAL,   /* until the transaction ends */
	EFFECT_SET_DEFAULT, /* SET name TO DEFAULT, RESET name */
	EFFECT_RESET_ALL,
	EFFECT_DISCARD_ALL,
	EFFECT_DISCARD_PLANS,
	EFFECT_DISCARD_TEMP,
	EFFECT_DISCARD_SEQUENCES,
	EFFECT_PREPARE,    /* name; value: the whole PREPARE statement */
	EFFECT_EXECUTE,    /* name */
	EFFECT_DEALLOCATE, /* name */
	EFFECT_DEALLOCATE_ALL,
	EFFECT_UNLISTEN_ALL,
	EFFECT_UNPIN,  /* pins: the reasons that this ends (pg_advisory_unlock_all ...) */
	EFFECT_OPAQUE, /* changes session state in a way that isn't known: pins */
	EFFECT_SHOW_PREPARED, /* reads pg_prepared_statements: changes nothing */
	EFFECT_SHOW,   /* changes nothing; name: the setting shown, "all" for all */
	EFFECT_VACATE, /* changes nothing here; name: a database that must be without sessions */
	EFFECT_LISTEN, /* name: channel, as written */
	EFFECT_UNLISTEN,
	EFFECT_COMMIT, /* these five say which SETs are kept and which are taken back */
	EFFECT_ROLLBACK,
	EFFECT_SAVEPOINT, /* name */
	EFFECT_RELEASE,
	EFFECT_ROLLBACK_TO,
};

/* Makes or drops prepared statements, which no rollback undoes. */
static inline bool effect_changes_names(enum effect_kind kind)
{
	return kind == EFFECT_PREPARE || kind == EFFECT_DEALLOCATE ||
	       kind == EFFECT_DEALLOCATE_ALL || kind == EFFECT_DISCARD_ALL;
}

struct statement_effect {
	enum effect_kind kind;
	const char *name;  /* lower case setting or object name; NULL where none */
	const char *value; /* EFFECT_SET*: as SQL takes it after TO; NULL: dynamic */
	uint32_t pins;     /* EFFECT_UNPIN */
	uint16_t at;       /* which statement of the text, from 0 */
	uint16_t value_param; /* EFFECT_SET without value: $n has it, see sql/quote.h; 0: none */
};

#endif
