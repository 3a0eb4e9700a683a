/* SPDX-License-Identifier: PostgreSQL */
/*
 * See defaults.h. What PostgreSQL fixes for the life of a session, or reports with its role, is
 * left out of the comparison: nodes of different minor versions must not look like a change.
 */
#include "proxy/defaults.h"

#include "pool/params.h"
#include "pool/session.h"
#include "proxy/backend.h"
#include "wire/backend.h"
#include "wire/build.h"

/* A session keeps these, or they follow its role. */
static bool is_of_session(struct slice name)
{
	static const char *const names[] = { "server_version",   "server_encoding",
					     "integer_datetimes", "in_hot_standby",
					     "is_superuser",      "session_authorization" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (slice_is(name, names[i]))
			return true;
	return false;
}

/* Settings have their names as PostgreSQL folds them, reports as it writes them. */
static bool sets(const struct session_state *session, struct slice name)
{
	for (size_t i = 0; i < session_count(session); i++)
		if (slice_is_nocase(name, session_name(session, i)))
			return true;
	return false;
}

static bool is_news(const struct params *told, struct slice name, struct slice value)
{
	return !is_of_session(name) && !slice_equal(params_find(told, name), value);
}

static bool has_news(const struct params *told, const struct params *now)
{
	for (size_t i = 0; i < params_count(now); i++)
		if (is_news(told, params_name(now, i), params_value(now, i)))
			return true;
	return false;
}

/* The tenant's newest set, if this one is equal; else this one becomes it. Consumes `p`. */
static struct params *newest(struct tenant *t, struct params *p)
{
	if (t->defaults && params_equal(t->defaults, p)) {
		params_put(&p);
		return params_get(t->defaults);
	}
	if (t->defaults && has_news(t->defaults, p))
		tenant_unlearn(t);
	params_put(&t->defaults);
	t->defaults = params_get(p);
	return p;
}

void defaults_opened(struct server *s)
{
	s->defaults = newest(backend_tenant(s), params_get(s->params));
}

void defaults_moved(struct server *s)
{
	const struct tenant *t = backend_tenant(s);

	if (!t->defaults || !s->defaults || !params_equal(t->defaults, s->defaults))
		return;
	params_put(&s->defaults);
	s->defaults = params_get(t->defaults);
}

void defaults_heard(struct server *s, struct slice body)
{
	struct msg_name_value m;
	struct params *changed;

	if (!s->defaults || backend_read_parameter(body, &m) != WEIR_OK ||
	    !is_news(s->defaults, m.name, m.value) || sets(s->session, m.name))
		return;
	changed = params_with(s->defaults, m.name, m.value);
	if (!changed)
		return;
	params_put(&s->defaults);
	s->defaults = newest(backend_tenant(s), changed);
}

static void told_all(struct client *c)
{
	params_put(&c->defaults);
	c->defaults = params_get(c->server->defaults);
}

void defaults_passed(struct client *c, struct slice body)
{
	bool knows_others = c->defaults == c->server->defaults;

	defaults_heard(c->server, body);
	if (knows_others)
		told_all(c);
}

void defaults_tell(struct client *c)
{
	const struct server *s = c->server;
	struct buf b;

	if (!c->defaults || !s->defaults || c->settings.has_changed)
		return;
	buf_init(&b, PARAMS_TEXT_MAX);
	for (size_t i = 0; i < params_count(s->defaults); i++) {
		struct slice name = params_name(s->defaults, i);
		struct slice value = params_value(s->defaults, i);

		/* Not where it has a value of its own, or code of its own has left one. */
		if (is_news(c->defaults, name, value) && !sets(c->session, name) &&
		    slice_equal(params_find(s->params, name), value))
			build_parameter_status(&b, name, value);
	}
	if (b.len)
		conn_send_copy(&c->conn, buf_slice(&b));
	buf_fini(&b);
	told_all(c);
}
