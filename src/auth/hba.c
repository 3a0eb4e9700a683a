/* SPDX-License-Identifier: PostgreSQL */
/*
 * Reader and matcher of log-in rules (manual, "The pg_hba.conf File"). Key
 * words lose their meaning in quotes, as there. Rules and names live in one
 * arena; a list is built by one thread and read-only from then on.
 */
#include "auth/hba.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "auth/text_file.h"
#include "base/arena.h"
#include "base/mem.h"

_Static_assert((int)HBA_ERROR_MAX == (int)TEXT_FILE_ERROR_MAX, "one size of error texts");

enum { TOKEN_MAX = 1024, ARENA_BLOCK_BYTES = 4096, IPV4_BYTES = 4, IPV6_BYTES = 16 };

enum rule_type { TYPE_LOCAL = 1, TYPE_HOST, TYPE_HOSTSSL, TYPE_HOSTNOSSL };
enum name_kind { NAME_EXACT, NAME_ALL, NAME_SAMEUSER, NAME_REPLICATION };

struct name {
	struct name *next;
	enum name_kind kind;
	struct slice text; /* in the arena */
};

struct network {
	size_t bytes; /* 4 or 16; 0: all */
	uint8_t address[IPV6_BYTES];
	uint8_t mask[IPV6_BYTES];
};

struct rule {
	struct rule *next;
	unsigned line;
	enum rule_type type;
	struct name *databases;
	struct name *users;
	struct network network;
	enum client_method method;
};

struct hba {
	struct arena arena;
	struct rule *first;
	struct rule **tail;
};

/* One word of a line: of a comma-separated list one member. */
struct token {
	char text[TOKEN_MAX];
	size_t len;
	bool is_quoted;
	bool has_comma; /* another member follows */
};

static bool token_is(const struct token *t, const char *word)
{
	return !t->is_quoted && slice_is(slice_of(t->text, t->len), word);
}

static bool ends_token(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == ',' || c == '#';
}

static char take(struct slice *s)
{
	char c = *s->ptr;

	*s = slice_of(s->ptr + 1, s->len - 1);
	return c;
}

/* Reads the text of a word, quoted parts joined; the comma stays. */
static enum weir_err read_word(struct text_line *line, struct token *out)
{
	struct slice *s = &line->rest;
	bool in_quotes = false;

	while (s->len > 0 && (in_quotes || !ends_token(*s->ptr))) {
		char c = take(s);

		if (c == '"') {
			in_quotes = !in_quotes;
			out->is_quoted = true;
			continue;
		}
		if (out->len == sizeof(out->text) - 1)
			return text_line_broken(line, "a word is too long");
		out->text[out->len++] = c;
	}
	out->text[out->len] = '\0';
	return in_quotes ? text_line_broken(line, "a quote isn't closed") : WEIR_OK;
}

static enum weir_err read_token(struct text_line *line, const char *what, struct token *out)
{
	enum weir_err err;

	*out = (struct token){ .len = 0 };
	if (!text_line_has_more(line))
		return text_line_broken(line, "%s expected", what);
	err = read_word(line, out);
	if (err != WEIR_OK)
		return err;
	if (out->len == 0 && !out->is_quoted)
		return text_line_broken(line, "%s expected", what);
	(void)text_line_has_more(line);
	if (line->rest.len > 0 && *line->rest.ptr == ',') {
		(void)take(&line->rest);
		out->has_comma = true;
	}
	return WEIR_OK;
}

static enum weir_err read_type(struct text_line *line, enum rule_type *out)
{
	static const char *const words[] = { [TYPE_LOCAL] = "local",
		                                 [TYPE_HOST] = "host",
		                                 [TYPE_HOSTSSL] = "hostssl",
		                                 [TYPE_HOSTNOSSL] = "hostnossl" };
	struct token t;
	enum weir_err err = read_token(line, "a type", &t);

	if (err != WEIR_OK)
		return err;
	for (int i = TYPE_LOCAL; i <= TYPE_HOSTNOSSL; i++) {
		if (!t.has_comma && token_is(&t, words[i])) {
			*out = (enum rule_type)i;
			return WEIR_OK;
		}
	}
	return text_line_broken(line, "type \"%s\" isn't supported", t.text);
}

/* What a database or user word means; false: a form that isn't supported. */
static bool name_kind_of(const struct token *t, bool is_database, enum name_kind *kind)
{
	*kind = NAME_EXACT;
	if (t->is_quoted)
		return true;
	if (token_is(t, "all"))
		*kind = NAME_ALL;
	else if (is_database && token_is(t, "sameuser"))
		*kind = NAME_SAMEUSER;
	else if (is_database && token_is(t, "replication"))
		*kind = NAME_REPLICATION;
	if (is_database && (token_is(t, "samerole") || token_is(t, "samegroup")))
		return false;
	return t->text[0] != '@' && t->text[0] != '+' && t->text[0] != '/';
}

static enum weir_err read_names(struct hba *hba, struct text_line *line, bool is_database,
                                struct name **out)
{
	const char *const what = is_database ? "a database" : "a user";
	struct token t;

	do {
		struct name *n = arena_zalloc(&hba->arena, sizeof(*n));
		enum weir_err err = read_token(line, what, &t);

		if (err != WEIR_OK)
			return err;
		if (!name_kind_of(&t, is_database, &n->kind))
			return text_line_broken(line, "\"%s\" isn't supported", t.text);
		n->text = slice_of(arena_strdup(&hba->arena, slice_of(t.text, t.len)), t.len);
		n->next = *out;
		*out = n;
	} while (t.has_comma);
	return WEIR_OK;
}

/* 4 or 16: the bytes of the address in text; 0: none. */
static size_t parse_address(const char *text, uint8_t out[IPV6_BYTES])
{
	if (inet_pton(AF_INET, text, out) == 1)
		return IPV4_BYTES;
	return inet_pton(AF_INET6, text, out) == 1 ? IPV6_BYTES : 0;
}

static bool parse_prefix(const char *text, struct network *net)
{
	char *end;
	unsigned long bits;

	if (text[0] < '0' || text[0] > '9')
		return false;
	bits = strtoul(text, &end, 10);
	if (*end != '\0' || bits > net->bytes * 8)
		return false;
	for (size_t i = 0; i < bits; i++)
		net->mask[i / 8] = (uint8_t)(net->mask[i / 8] | 0x80u >> i % 8);
	return true;
}

static enum weir_err read_mask(struct text_line *line, struct network *net)
{
	struct token t;
	enum weir_err err = read_token(line, "a mask", &t);

	if (err != WEIR_OK)
		return err;
	if (parse_address(t.text, net->mask) != net->bytes || t.has_comma)
		return text_line_broken(line, "\"%s\" isn't a mask for that address", t.text);
	return WEIR_OK;
}

static enum weir_err read_network(struct text_line *line, struct network *net)
{
	struct token t;
	char *slash;
	enum weir_err err = read_token(line, "an address", &t);

	if (err != WEIR_OK || token_is(&t, "all"))
		return err;
	slash = strchr(t.text, '/');
	if (slash)
		*slash = '\0';
	net->bytes = t.has_comma ? 0 : parse_address(t.text, net->address);
	if (net->bytes == 0)
		return text_line_broken(line, "\"%s\" isn't an address; names aren't supported", t.text);
	if (!slash)
		return read_mask(line, net);
	if (!parse_prefix(slash + 1, net))
		return text_line_broken(line, "\"/%s\" isn't a prefix length", slash + 1);
	return WEIR_OK;
}

static enum weir_err read_method(struct text_line *line, enum client_method *out)
{
	struct token t;
	enum weir_err err = read_token(line, "a method", &t);

	if (err != WEIR_OK)
		return err;
	if (t.has_comma || token_is(&t, "any") || token_is(&t, "plain") ||
	    !client_method_parse(slice_of(t.text, t.len), out))
		return text_line_broken(line, "method \"%s\" isn't supported", t.text);
	if (text_line_has_more(line))
		return text_line_broken(line, "options of a method aren't supported");
	return WEIR_OK;
}

static enum weir_err read_rule(struct hba *hba, struct text_line *line)
{
	struct rule *rule = arena_zalloc(&hba->arena, sizeof(*rule));
	enum weir_err err = read_type(line, &rule->type);

	if (err == WEIR_OK)
		err = read_names(hba, line, true, &rule->databases);
	if (err == WEIR_OK)
		err = read_names(hba, line, false, &rule->users);
	if (err == WEIR_OK && rule->type != TYPE_LOCAL)
		err = read_network(line, &rule->network);
	if (err == WEIR_OK)
		err = read_method(line, &rule->method);
	rule->line = line->number;
	*hba->tail = rule;
	hba->tail = &rule->next;
	return err;
}

enum weir_err hba_parse(struct slice text, const char *path, struct hba **out,
                        char error[HBA_ERROR_MAX])
{
	struct text_line line = { .path = path, .error = error };
	struct hba *hba = mem_zalloc(sizeof(*hba));
	enum weir_err err = WEIR_OK;

	arena_init(&hba->arena, ARENA_BLOCK_BYTES);
	hba->tail = &hba->first;
	while (err == WEIR_OK && text_line_next(&line, &text)) {
		if (text_line_has_more(&line))
			err = read_rule(hba, &line);
	}
	if (err == WEIR_OK)
		*out = hba;
	else
		hba_destroy(hba);
	return err;
}

enum weir_err hba_load(const char *path, struct hba **out, char error[HBA_ERROR_MAX])
{
	struct slice text;
	enum weir_err err = text_file_read(path, &text, error);

	if (err != WEIR_OK)
		return err;
	err = hba_parse(text, path, out, error);
	text_file_free(text);
	return err;
}

void hba_destroy(struct hba *hba)
{
	if (!hba)
		return;
	arena_fini(&hba->arena);
	mem_free(hba);
}

/* The peer's address bytes, mapped IPv6 as IPv4; 0: neither family. */
static size_t peer_address(const struct sockaddr *peer, const uint8_t **out)
{
	static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
	const uint8_t *v6;

	if (peer->sa_family == AF_INET) {
		*out = (const uint8_t *)&((const struct sockaddr_in *)(const void *)peer)->sin_addr;
		return IPV4_BYTES;
	}
	if (peer->sa_family != AF_INET6)
		return 0;
	v6 = ((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr.s6_addr;
	if (memcmp(v6, mapped, sizeof(mapped)) == 0) {
		*out = v6 + sizeof(mapped);
		return IPV4_BYTES;
	}
	*out = v6;
	return IPV6_BYTES;
}

static bool network_matches(const struct network *net, const struct sockaddr *peer)
{
	const uint8_t *address;
	size_t bytes = peer_address(peer, &address);

	if (net->bytes == 0)
		return bytes != 0;
	if (net->bytes != bytes)
		return false;
	for (size_t i = 0; i < bytes; i++) {
		if ((address[i] ^ net->address[i]) & net->mask[i])
			return false;
	}
	return true;
}

static bool type_matches(const struct rule *rule, const struct hba_request *request)
{
	if (request->peer->sa_family == AF_UNIX || rule->type == TYPE_LOCAL)
		return request->peer->sa_family == AF_UNIX && rule->type == TYPE_LOCAL;
	if (rule->type == TYPE_HOSTSSL && !request->is_tls)
		return false;
	if (rule->type == TYPE_HOSTNOSSL && request->is_tls)
		return false;
	return network_matches(&rule->network, request->peer);
}

static bool database_matches(const struct name *n, const struct hba_request *request)
{
	if (n->kind == NAME_REPLICATION || request->is_replication)
		return n->kind == NAME_REPLICATION && request->is_replication;
	if (n->kind == NAME_SAMEUSER)
		return slice_equal(request->database, request->user);
	return n->kind == NAME_ALL || slice_equal(n->text, request->database);
}

static bool rule_matches(const struct rule *rule, const struct hba_request *request)
{
	const struct name *n;

	if (!type_matches(rule, request))
		return false;
	for (n = rule->databases; n && !database_matches(n, request); n = n->next)
		;
	if (!n)
		return false;
	for (n = rule->users; n; n = n->next) {
		if (n->kind == NAME_ALL || slice_equal(n->text, request->user))
			return true;
	}
	return false;
}

struct hba_verdict hba_match(const struct hba *hba, const struct hba_request *request)
{
	for (const struct rule *rule = hba->first; rule; rule = rule->next) {
		if (rule_matches(rule, request))
			return (struct hba_verdict){ rule->method, rule->line };
	}
	return (struct hba_verdict){ CLIENT_METHOD_REJECT, 0 };
}
