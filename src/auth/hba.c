/* SPDX-License-Identifier: PostgreSQL */
/*
 * Reader and matcher of log-in rules (manual, "The pg_hba.conf File"). Key
 * words lose their meaning in quotes, as there. Rules and names live in one
 * arena; a list is built by one thread and read-only from then on.
 */
#include "auth/hba.h"

#include <arpa/inet.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth/auth_token.h"
#include "base/arena.h"
#include "base/mem.h"

_Static_assert((int)HBA_ERROR_MAX == (int)TEXT_FILE_ERROR_MAX, "one size of error texts");

enum { ARENA_BLOCK_BYTES = 4096, IPV4_BYTES = 4, IPV6_BYTES = 16, NAME_FILE_DEPTH_MAX = 10 };

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
	enum hba_client_cert client_cert;
	const char *map; /* in the arena; empty: none */
};

struct hba {
	struct arena arena;
	bool has_files; /* @file may be read */
	struct rule *first;
	struct rule **tail;
};

static enum weir_err read_type(struct text_line *line, enum rule_type *out)
{
	static const char *const words[] = { [TYPE_LOCAL] = "local",
		                                 [TYPE_HOST] = "host",
		                                 [TYPE_HOSTSSL] = "hostssl",
		                                 [TYPE_HOSTNOSSL] = "hostnossl" };
	struct auth_token t;
	enum weir_err err = auth_token_read(line, "a type", &t);

	if (err != WEIR_OK)
		return err;
	for (int i = TYPE_LOCAL; i <= TYPE_HOSTNOSSL; i++) {
		if (!t.has_comma && auth_token_is(&t, words[i])) {
			*out = (enum rule_type)i;
			return WEIR_OK;
		}
	}
	return text_line_broken(line, "type \"%s\" isn't supported", t.text);
}

/* What a database or user word means; false: a form that isn't supported. */
static bool name_kind_of(const struct auth_token *t, bool is_database, enum name_kind *kind)
{
	*kind = NAME_EXACT;
	if (t->is_quoted)
		return true;
	if (auth_token_is(t, "all"))
		*kind = NAME_ALL;
	else if (is_database && auth_token_is(t, "sameuser"))
		*kind = NAME_SAMEUSER;
	else if (is_database && auth_token_is(t, "replication"))
		*kind = NAME_REPLICATION;
	if (is_database && (auth_token_is(t, "samerole") || auth_token_is(t, "samegroup")))
		return false;
	return t->text[0] != '@' && t->text[0] != '+' && t->text[0] != '/';
}

static enum weir_err add_name(struct hba *hba, struct text_line *line, const struct auth_token *t,
                              bool is_database, struct name **out)
{
	struct name *n = arena_zalloc(&hba->arena, sizeof(*n));

	if (!name_kind_of(t, is_database, &n->kind))
		return text_line_broken(line, "\"%s\" isn't supported", t->text);
	n->text = slice_of(arena_strdup(&hba->arena, slice_of(t->text, t->len)), t->len);
	n->next = *out;
	*out = n;
	return WEIR_OK;
}

static enum weir_err read_name_file(struct hba *hba, struct text_line *line, const char *name,
                                    bool is_database, struct name **out);

/* A name, or @file. */
static enum weir_err read_name(struct hba *hba, struct text_line *line, const struct auth_token *t,
                               bool is_database, struct name **out)
{
	if (!t->is_quoted && t->text[0] == '@')
		return read_name_file(hba, line, t->text + 1, is_database, out);
	return add_name(hba, line, t, is_database, out);
}

/* Names parted by commas, blanks and line ends. */
static enum weir_err read_name_lines(struct hba *hba, struct slice text, struct text_line *line,
                                     bool is_database, struct name **out)
{
	enum weir_err err = WEIR_OK;
	struct auth_token t;

	while (err == WEIR_OK && text_line_next(line, &text)) {
		while (err == WEIR_OK && text_line_has_more(line)) {
			err = auth_token_read(line, "a name", &t);
			if (err == WEIR_OK)
				err = read_name(hba, line, &t, is_database, out);
		}
	}
	return err;
}

/* Beside the file that names it, in which line stands. */
static enum weir_err read_name_file(struct hba *hba, struct text_line *line, const char *name,
                                    bool is_database, struct name **out)
{
	struct text_line inner = { .error = line->error, .depth = line->depth + 1 };
	const char *slash = *name == '/' ? NULL : strrchr(line->path, '/');
	char path[PATH_MAX], why[HBA_ERROR_MAX];
	enum weir_err err;
	struct slice text;

	if (!hba->has_files || !*name || inner.depth > NAME_FILE_DEPTH_MAX)
		return text_line_broken(line, "\"@%s\" isn't supported", name);
	(void)snprintf(path, sizeof(path), "%.*s%s", slash ? (int)(slash + 1 - line->path) : 0,
	               line->path, name);
	if (text_file_read(path, &text, why) != WEIR_OK)
		return text_line_broken(line, "%s", why);
	inner.path = path;
	err = read_name_lines(hba, text, &inner, is_database, out);
	text_file_free(text);
	return err;
}

static enum weir_err read_names(struct hba *hba, struct text_line *line, bool is_database,
                                struct name **out)
{
	const char *const what = is_database ? "a database" : "a user";
	struct auth_token t;

	do {
		enum weir_err err = auth_token_read(line, what, &t);

		if (err == WEIR_OK)
			err = read_name(hba, line, &t, is_database, out);
		if (err != WEIR_OK)
			return err;
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
	struct auth_token t;
	enum weir_err err = auth_token_read(line, "a mask", &t);

	if (err != WEIR_OK)
		return err;
	if (parse_address(t.text, net->mask) != net->bytes || t.has_comma)
		return text_line_broken(line, "\"%s\" isn't a mask for that address", t.text);
	return WEIR_OK;
}

static enum weir_err read_network(struct text_line *line, struct network *net)
{
	struct auth_token t;
	char *slash;
	enum weir_err err = auth_token_read(line, "an address", &t);

	if (err != WEIR_OK || (auth_token_is(&t, "all") && !t.has_comma))
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

static enum weir_err read_map(struct hba *hba, struct text_line *line, struct rule *rule,
                              const char *value)
{
	if (rule->method != CLIENT_METHOD_CERT && rule->method != CLIENT_METHOD_PEER)
		return text_line_broken(line, "map goes with cert and peer only");
	rule->map = arena_strdup(&hba->arena, slice_str(value));
	return WEIR_OK;
}

static enum weir_err read_client_cert(struct text_line *line, struct rule *rule, const char *value)
{
	if (rule->type != TYPE_HOSTSSL)
		return text_line_broken(line, "clientcert goes with hostssl only");
	if (strcmp(value, "verify-ca") == 0 && rule->method != CLIENT_METHOD_CERT)
		rule->client_cert = HBA_CLIENT_CERT_VERIFY_CA;
	else if (strcmp(value, "verify-full") == 0)
		rule->client_cert = HBA_CLIENT_CERT_VERIFY_FULL;
	else
		return text_line_broken(line, "clientcert=%s isn't supported here", value);
	return WEIR_OK;
}

/* name=value behind the method. */
static enum weir_err read_rule_option(struct hba *hba, struct text_line *line, struct rule *rule)
{
	struct auth_token t;
	enum weir_err err = auth_token_read(line, "an option", &t);
	char *value = err == WEIR_OK ? strchr(t.text, '=') : NULL;

	if (err != WEIR_OK)
		return err;
	if (value)
		*value++ = '\0';
	if (value && strcmp(t.text, "map") == 0 && *value)
		return read_map(hba, line, rule, value);
	if (value && strcmp(t.text, "clientcert") == 0)
		return read_client_cert(line, rule, value);
	return text_line_broken(line, "option \"%s\" isn't supported", t.text);
}

/* The methods that a type of connection can't carry. */
static const char *method_misfit(const struct rule *rule)
{
	if (rule->method == CLIENT_METHOD_PEER && rule->type != TYPE_LOCAL)
		return "peer goes with local only";
	if (rule->method == CLIENT_METHOD_CERT && rule->type != TYPE_HOSTSSL)
		return "cert goes with hostssl only";
	return NULL;
}

static enum weir_err read_method(struct hba *hba, struct text_line *line, struct rule *rule)
{
	struct auth_token t;
	enum weir_err err = auth_token_read(line, "a method", &t);
	const char *misfit;

	if (err != WEIR_OK)
		return err;
	if (t.has_comma || auth_token_is(&t, "any") || auth_token_is(&t, "plain") ||
	    !client_method_parse(slice_of(t.text, t.len), &rule->method))
		return text_line_broken(line, "method \"%s\" isn't supported", t.text);
	misfit = method_misfit(rule);
	if (misfit)
		return text_line_broken(line, "%s", misfit);
	if (rule->method == CLIENT_METHOD_CERT)
		rule->client_cert = HBA_CLIENT_CERT_VERIFY_FULL;
	while (err == WEIR_OK && text_line_has_more(line))
		err = read_rule_option(hba, line, rule);
	return err;
}

static enum weir_err read_rule(struct hba *hba, struct text_line *line)
{
	struct rule *rule = arena_zalloc(&hba->arena, sizeof(*rule));
	enum weir_err err = read_type(line, &rule->type);

	rule->map = "";
	if (err == WEIR_OK)
		err = read_names(hba, line, true, &rule->databases);
	if (err == WEIR_OK)
		err = read_names(hba, line, false, &rule->users);
	if (err == WEIR_OK && rule->type != TYPE_LOCAL)
		err = read_network(line, &rule->network);
	if (err == WEIR_OK)
		err = read_method(hba, line, rule);
	rule->line = line->number;
	*hba->tail = rule;
	hba->tail = &rule->next;
	return err;
}

static struct hba *hba_create(void)
{
	struct hba *hba = mem_zalloc(sizeof(*hba));

	arena_init(&hba->arena, ARENA_BLOCK_BYTES);
	hba->tail = &hba->first;
	return hba;
}

/* Consumes hba, into *out if all is well. */
static enum weir_err read_rules(struct hba *hba, struct slice text, const char *path,
                                struct hba **out, char error[HBA_ERROR_MAX])
{
	struct text_line line = { .path = path, .error = error };
	enum weir_err err = WEIR_OK;

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

enum weir_err hba_parse(struct slice text, const char *path, struct hba **out,
                        char error[HBA_ERROR_MAX])
{
	return read_rules(hba_create(), text, path, out, error);
}

enum weir_err hba_load(const char *path, struct hba **out, char error[HBA_ERROR_MAX])
{
	struct slice text;
	enum weir_err err = text_file_read(path, &text, error);
	struct hba *hba;

	if (err != WEIR_OK)
		return err;
	hba = hba_create();
	hba->has_files = true;
	err = read_rules(hba, text, path, out, error);
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
			return (struct hba_verdict){ rule->method, rule->line, rule->client_cert, rule->map };
	}
	return (struct hba_verdict){ .method = CLIENT_METHOD_REJECT, .map = "" };
}
