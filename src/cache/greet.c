/* SPDX-License-Identifier: PostgreSQL */
/*
 * See greet.h. A server that doesn't say its role (an INFO that is forbidden,
 * or is of another make) is taken for a master.
 */
#include "cache/greet.h"

#include <string.h>

static void add(struct greet *g, enum greet_step step)
{
	g->steps[g->count++] = step;
}

static void add_auth(const struct greet_options *o, struct buf *out)
{
	struct slice argv[3] = { slice_str("AUTH") };
	size_t argc = 1;

	if (o->user)
		argv[argc++] = slice_str(o->user);
	argv[argc++] = slice_str(o->password);
	redis_append_command(out, argc, argv);
}

static void append(enum greet_step step, const struct greet_options *o, struct buf *out)
{
	struct slice argv[2] = { slice_str("INFO") };

	switch (step) {
	case GREET_AUTH:
		add_auth(o, out);
		return;
	case GREET_SERVER:
		argv[1] = slice_str("server");
		break;
	case GREET_ROLE:
		argv[1] = slice_str("replication");
		break;
	case GREET_SUBSCRIBE:
		argv[0] = slice_str("SUBSCRIBE");
		argv[1] = slice_str(o->channel);
		break;
	case GREET_PING:
		argv[0] = slice_str("PING");
		redis_append_command(out, 1, argv);
		return;
	}
	redis_append_command(out, 2, argv);
}

void greet_begin(struct greet *g, const struct greet_options *o, struct buf *out)
{
	*g = (struct greet){ 0 };
	if (o->password)
		add(g, GREET_AUTH);
	if (!o->takes_any && !o->channel)
		add(g, GREET_SERVER);
	if (!o->takes_any)
		add(g, GREET_ROLE);
	if (o->channel)
		add(g, GREET_SUBSCRIBE);
	else if (o->takes_any)
		add(g, GREET_PING);
	for (unsigned i = 0; i < g->count; i++)
		append(g->steps[i], o, out);
}

bool greet_info_find(struct slice info, const char *name, struct slice *value)
{
	size_t len = strlen(name);

	while (info.len > len) {
		const char *end = memchr(info.ptr, '\n', info.len);
		size_t line = end ? (size_t)(end - info.ptr) : info.len;

		if (line > len && info.ptr[len] == ':' && memcmp(info.ptr, name, len) == 0) {
			*value = slice_of(info.ptr + len + 1, line - len - 1);
			if (value->len > 0 && value->ptr[value->len - 1] == '\r')
				value->len--;
			return true;
		}
		if (!end)
			return false;
		info = slice_of(end + 1, info.len - line - 1);
	}
	return false;
}

static void take_id(struct slice info, const char *name, char id[GREET_ID_LEN + 1])
{
	struct slice value;

	if (!greet_info_find(info, name, &value) || value.len != GREET_ID_LEN)
		return;
	memcpy(id, value.ptr, GREET_ID_LEN);
	id[GREET_ID_LEN] = '\0';
}

static enum greet_verdict refuse(struct greet *g, const char *why)
{
	g->why = why;
	return GREET_REFUSED;
}

static bool is_master(struct slice info)
{
	struct slice role;

	return !greet_info_find(info, "role", &role) || slice_is(role, "master");
}

static enum greet_verdict take_info(struct greet *g, enum greet_step step,
                                    const struct redis_value *v)
{
	if (redis_error_is(v, "NOPERM")) {
		g->is_denied = true;
		return GREET_MORE;
	}
	if (v->type != REDIS_TYPE_STRING)
		return refuse(g, redis_error_is(v, "LOADING") ? "loading" : "log-in refused");
	if (step == GREET_SERVER) {
		take_id(v->text, "run_id", g->run_id);
		return GREET_MORE;
	}
	take_id(v->text, "master_replid", g->replid);
	g->is_replica = !is_master(v->text);
	return g->is_replica ? refuse(g, "not a master") : GREET_MORE;
}

static bool is_subscribed(const struct redis_reply *reply)
{
	return reply->value.type == REDIS_TYPE_ARRAY && reply->count > 0 &&
	       reply->elements[0].type == REDIS_TYPE_STRING &&
	       slice_is(reply->elements[0].text, "subscribe");
}

static enum greet_verdict take_step(struct greet *g, enum greet_step step,
                                    const struct redis_reply *reply)
{
	const struct redis_value *v = &reply->value;

	switch (step) {
	case GREET_AUTH:
		return v->type == REDIS_TYPE_STATUS ? GREET_MORE : refuse(g, "password refused");
	case GREET_SERVER:
	case GREET_ROLE:
		return take_info(g, step, v);
	case GREET_SUBSCRIBE:
		return is_subscribed(reply) ? GREET_MORE : refuse(g, "subscription refused");
	case GREET_PING:
		return v->type == REDIS_TYPE_STATUS ? GREET_MORE : refuse(g, "log-in refused");
	}
	return refuse(g, "log-in refused");
}

enum greet_verdict greet_take(struct greet *g, const struct redis_reply *reply)
{
	enum greet_verdict verdict = take_step(g, g->steps[g->at], reply);

	if (verdict == GREET_REFUSED)
		return verdict;
	return ++g->at == g->count ? GREET_DONE : GREET_MORE;
}

void greet_look(const struct greet *g, struct buf *out)
{
	bool is_pinged = g->is_denied || g->steps[g->count - 1] != GREET_ROLE;

	append(is_pinged ? GREET_PING : GREET_ROLE, NULL, out);
}

bool greet_is_same(struct greet *g, const struct redis_value *v)
{
	char replid[GREET_ID_LEN + 1] = "";

	if (v->type != REDIS_TYPE_STRING)
		return true;
	take_id(v->text, "master_replid", replid);
	g->is_replica = !is_master(v->text);
	return !g->is_replica && strcmp(replid, g->replid) == 0;
}
