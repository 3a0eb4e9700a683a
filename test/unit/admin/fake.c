/* SPDX-License-Identifier: PostgreSQL */
/*
 * The made-up source: two workers with fixed rows, one cluster with a primary
 * and a replica.
 */
#include "fake.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct config *on_config(void *ctx)
{
	return config_get(((struct fake *)ctx)->cfg);
}

static struct admin_part *part_of(unsigned worker)
{
	struct admin_part *p = admin_part_create(worker);

	p->pool_count = 2;
	p->pools = arena_zalloc(&p->arena, 2 * sizeof(*p->pools));
	p->pools[0] = (struct admin_pool){ .database = "shop",
		                               .user = "app",
		                               .node = "n1",
		                               .cl_active = 1 + worker,
		                               .sv_active = 1,
		                               .sv_idle = 2,
		                               .maxwait_us = 1500000 * worker,
		                               .pool_mode = "transaction" };
	p->pools[1] = (struct admin_pool){
		.database = "shop", .user = "app", .node = "n2", .cl_waiting = 3, .pool_mode = "transaction"
	};
	p->console_clients = 1;
	p->client_count = 1;
	p->clients = arena_zalloc(&p->arena, sizeof(*p->clients));
	p->clients[0] = (struct admin_conn){
		.user = "app",
		.database = "shop",
		.replication = "none",
		.state = "active",
		.addr = "10.0.0.1",
		.local_addr = "10.0.0.2",
		.port = 5,
		.local_port = 6432,
		.connect_time_us = 1000000,
		.wait_us = 2000003,
		.ptr = 0xab,
		.link = 0xcd,
		.id = 10 + worker,
		.tls = "",
		.application_name = "x",
		.prepared_statements = 4,
		.pin = worker ? "temporary table" : "",
		.node = "",
	};
	p->clients[0].user = worker ? "guest" : "app";
	p->server_count = 1;
	p->servers = arena_zalloc(&p->arena, sizeof(*p->servers));
	p->servers[0] = p->clients[0];
	p->servers[0].state = worker ? "idle" : "active";
	p->servers[0].node = "n1";
	return p;
}

void fake_answer(struct fake *f)
{
	struct admin_part *parts = part_of(0);

	parts->next = part_of(1);
	f->done(f->done_ctx, parts);
}

static void on_collect(void *ctx, unsigned want, admin_parts_fn *done, void *done_ctx)
{
	struct fake *f = ctx;

	f->wanted = want;
	f->done = done;
	f->done_ctx = done_ctx;
	if (!f->is_slow)
		fake_answer(f);
}

static void on_topologies(void *ctx, admin_topology_fn *each, void *each_ctx)
{
	each(each_ctx, "main", &((struct fake *)ctx)->topology);
}

static void on_cache(void *ctx, struct cache_stats *out)
{
	(void)ctx;
	*out = (struct cache_stats){ .hits_local = 7, .bytes = 99 };
}

static void on_act(void *ctx, const struct admin_order *order, admin_error_fn *done, void *done_ctx)
{
	struct fake *f = ctx;
	struct pg_error err;
	size_t len = strlen(f->log);

	snprintf(f->log + len, sizeof(f->log) - len, "%d:%s:%llu;", (int)order->action, order->database,
	         (unsigned long long)order->id);
	pg_error_set(&err, "F0000", "refused by the source");
	done(done_ctx, f->is_refusing ? &err : NULL);
}

static bool on_publish(void *ctx, struct config *cfg, char *why, size_t why_size)
{
	struct fake *f = ctx;
	struct config *old = f->is_refusing ? cfg : f->cfg;

	if (!f->is_refusing)
		f->cfg = cfg;
	config_put(&old);
	snprintf(why, why_size, "refused by the source");
	return !f->is_refusing;
}

static void on_users(void *ctx, admin_name_fn *each, void *each_ctx)
{
	(void)ctx;
	each(each_ctx, slice_str("listed"));
	each(each_ctx, slice_str("app"));
}

static bool on_accepting(void *ctx)
{
	return ((struct fake *)ctx)->is_accepting;
}

static bool on_explain(void *ctx, const char *database, struct slice sql, struct admin_route *out,
                       struct pg_error *err)
{
	(void)ctx;
	if (slice_is(sql, "fail")) {
		pg_error_set(err, "42601", "no");
		return false;
	}
	snprintf(out->class, sizeof(out->class), "read");
	snprintf(out->target, sizeof(out->target), "replica %s", database);
	snprintf(out->reason, sizeof(out->reason), "%.*s", (int)sql.len, sql.ptr);
	return true;
}

static void topology_fill(struct fake *f)
{
	struct topology *t = &f->topology;

	t->node_count = 2;
	t->primary = 0;
	for (int i = 0; i < 2; i++) {
		struct topology_node *n = &t->nodes[i];

		n->role = i ? NODE_ROLE_REPLICA : NODE_ROLE_PRIMARY;
		n->is_running = true;
		n->port = 5432;
		n->timeline = 3;
		n->weight = 1;
		n->live = &f->live[i];
		snprintf(n->name, sizeof(n->name), "n%d", i + 1);
		snprintf(n->host, sizeof(n->host), "10.0.0.%d", i + 1);
	}
	atomic_store(&f->live[1].lag_bytes, 77);
	atomic_store(&f->live[1].replay_lsn, 0x1000000aaULL);
}

void fake_init(struct fake *f, const char *ini)
{
	struct config_error err;

	memset(f, 0, sizeof(*f));
	f->cfg = config_load_text(ini, &err);
	cr_assert_not_null(f->cfg, "%s", err.message);
	f->metrics = metrics_create(2);
	f->is_accepting = true;
	topology_fill(f);
	f->source = (struct admin_source){
		.ctx = f,
		.metrics = f->metrics,
		.started_us = 5000000,
		.config = on_config,
		.collect = on_collect,
		.topologies = on_topologies,
		.cache = on_cache,
		.users = on_users,
		.act = on_act,
		.publish = on_publish,
		.explain = on_explain,
		.is_accepting = on_accepting,
	};
	f->admin = admin_create(&f->source);
}

void fake_fini(struct fake *f)
{
	admin_destroy(f->admin);
	metrics_destroy(f->metrics);
	config_put(&f->cfg);
}

struct text {
	char *at, *end;
};

static void put(struct text *t, const char *text, size_t len)
{
	if (len > (size_t)(t->end - t->at))
		len = (size_t)(t->end - t->at);
	memcpy(t->at, text, len);
	t->at += len;
}

static unsigned take_u16(const char **p)
{
	unsigned v = (unsigned)(unsigned char)(*p)[0] << 8 | (unsigned char)(*p)[1];

	*p += 2;
	return v;
}

static int take_i32(const char **p)
{
	unsigned high = take_u16(p);

	return (int)(high << 16 | take_u16(p));
}

static void put_columns(struct text *t, const char *p)
{
	unsigned count = take_u16(&p);

	for (unsigned i = 0; i < count; i++) {
		put(t, ",", i > 0);
		put(t, p, strlen(p));
		p += strlen(p) + 1 + 18;
	}
}

static void put_row(struct text *t, const char *p)
{
	unsigned count = take_u16(&p);

	for (unsigned i = 0; i < count; i++) {
		int len = take_i32(&p);

		put(t, "|", i > 0);
		put(t, len < 0 ? "-" : p, len < 0 ? 1 : (size_t)len);
		p += len < 0 ? 0 : len;
	}
}

static void put_error(struct text *t, const char *p)
{
	put(t, "ERROR", 5);
	for (; *p; p += strlen(p) + 1) {
		if (*p != 'C' && *p != 'M')
			continue;
		put(t, " ", 1);
		put(t, p + 1, strlen(p + 1));
	}
}

static void put_message(struct text *t, char type, const char *body)
{
	switch (type) {
	case 'T':
		put_columns(t, body);
		break;
	case 'D':
		put_row(t, body);
		break;
	case 'C':
		put(t, body, strlen(body));
		break;
	case 'E':
		put_error(t, body);
		break;
	case 'I':
		put(t, "EMPTY", 5);
		break;
	default:
		put(t, &type, 1);
		break;
	}
	put(t, "\n", 1);
}

const char *fake_decode(const struct buf *out)
{
	static char result[200000];
	struct text t = { result, result + sizeof(result) - 1 };
	const char *p = out->data, *end = out->data + out->len;
	char type = 0;

	while (p < end) {
		int len;

		type = *p++;
		len = take_i32(&p);
		if (type != 'Z')
			put_message(&t, type, p);
		p += len - 4;
	}
	cr_assert_eq(type, 'Z', "the last message is ReadyForQuery");
	*t.at = '\0';
	return result;
}

static void on_done(struct admin_request *request)
{
	request->admin = NULL;
}

const char *fake_run(struct fake *f, enum admin_role role, const char *sql)
{
	struct admin_request request = { .role = role, .sql = sql, .on_done = on_done };
	const char *text;

	buf_init(&request.out, 1 << 20);
	admin_run(f->admin, &request);
	cr_assert_null(request.admin, "on_done was called for: %s", sql);
	text = fake_decode(&request.out);
	buf_fini(&request.out);
	return text;
}
