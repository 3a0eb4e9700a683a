/* SPDX-License-Identifier: PostgreSQL */
/*
 * The statement analyser for other programs: what a query string does, and which
 * tables and functions it names. It knows no catalog: whether a named function
 * writes, and whether a name is a view, is the caller's to find out. Any thread;
 * one object belongs to one thread at a time.
 */
#ifndef PGWEIR_STATEMENT_H
#define PGWEIR_STATEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a whole query string does, the strongest of its statements. */
enum pgweir_class {
	PGWEIR_CLASS_EMPTY,       /* no statement */
	PGWEIR_CLASS_READ,        /* reads, if its functions only read */
	PGWEIR_CLASS_SESSION,     /* SET, SHOW, DISCARD, ... only */
	PGWEIR_CLASS_TRANSACTION, /* BEGIN, COMMIT, ... only */
	PGWEIR_CLASS_WRITE,       /* anything else, and what the parser refuses */
};

enum pgweir_names {
	PGWEIR_NAMES_READ,     /* relations read */
	PGWEIR_NAMES_WRITTEN,  /* relations written */
	PGWEIR_NAMES_FUNCTION, /* functions called */
};

struct pgweir_statement;

/* Never NULL. Freed with pgweir_statement_free. The text may go at once. */
struct pgweir_statement *pgweir_statement_analyse(const char *sql, size_t len);
void pgweir_statement_free(struct pgweir_statement *statement);

enum pgweir_class pgweir_statement_class(const struct pgweir_statement *statement);

/* false: the parser refused it, so the names are unknown. */
bool pgweir_statement_is_parsed(const struct pgweir_statement *statement);

/* First key word in upper case, such as "SELECT"; never NULL. */
const char *pgweir_statement_tag(const struct pgweir_statement *statement);

/* Highest parameter number, 0 for none. */
unsigned pgweir_statement_param_count(const struct pgweir_statement *statement);

size_t pgweir_statement_name_count(const struct pgweir_statement *statement,
                                   enum pgweir_names which);

/* Name number `index`; *schema is NULL where the text doesn't say. Valid until free. */
const char *pgweir_statement_name(const struct pgweir_statement *statement, enum pgweir_names which,
                                  size_t index, const char **schema);

#ifdef __cplusplus
}
#endif

#endif
