/* SPDX-License-Identifier: PostgreSQL */
/*
 * See tier_of_one.h. The server listens on an abstract socket that is there for
 * the life of the process. The hooks of the control plane answer with the next
 * settling, as its mails would.
 *
 * What is checked of each client's stream: whole messages; no more
 * ReadyForQuery than its requests are due; nothing about logging in behind the
 * log-in; and who has asked for nothing gets no part of an answer.
 */
#include "fuzz/tier_of_one.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/log.h"
#include "base/mem.h"
#include "cache/cache.h"
#include "metrics/metrics.h"
#include "net/loop_priv.h"
#include "net/resolver.h"
#include "pool/ledger.h"
#include "pool/session.h"
#include "proxy/client.h"
#include "proxy/hear.h"
#include "proxy/listen.h"
#include "proxy/proxy.h"
#include "tier/catalog_build.h"
#include "tier/live.h"
#include "wire/backend.h"
#include "wire/build.h"
#include "wire/frame.h"
#include "wire/frontend.h"
#include "wire/startup.h"

enum { PORT = 5432, SERVER_PID = 77, ROUNDS = 4, CHUNK_BYTES = 65536, NAME_BYTES = 64 };

struct stream { /* messages as they go by, in any pieces */
	char head[FRAME_HEADER_BYTES];
	size_t head_len;
	uint64_t left;
	bool is_over; /* what comes isn't a message, and where the next one would begin isn't known */
};

struct party {
	int fd; /* -1: not there */
	struct stream sent, got; /* by a client, and by pgweir to it */
	unsigned due, ready;     /* ReadyForQuery that its requests ask for; that it got */
	bool has_more;           /* requests behind the last one that asks for ReadyForQuery */
};

static struct {
	struct tier_ways ways;
	struct loop *loop;
	struct proxy *proxy;
	struct proxy_shared shared;
	struct party clients[TIER_CLIENTS], servers[TIER_SERVERS];
	unsigned server_count; /* opened so far */
	char live_channel[NAME_BYTES]; /* empty: none */
	uint64_t caught_up;            /* a client's id; 0: none */
	uint64_t at_console;           /* likewise */
} tier;

static int listen_fd = -1;
static struct settings *settings[2][TIER_AUTHS]; /* session_pool */
static struct resolver *resolver;
static char host[NAME_BYTES];

/* --- messages that go by --- */

typedef void on_message(struct party *p, char type);

static void take_head(struct party *p, struct stream *s, on_message *tell)
{
	struct frame_header head;

	if (frame_peek(slice_of(s->head, sizeof s->head), &head) != WEIR_OK) {
		s->is_over = true;
		return;
	}
	s->head_len = 0;
	s->left = head.body_len;
	tell(p, head.type);
}

static void watch(struct party *p, struct stream *s, struct slice bytes, on_message *tell)
{
	while (bytes.len > 0 && !s->is_over) {
		size_t n = 1;

		if (s->left) {
			n = bytes.len < s->left ? bytes.len : (size_t)s->left;
			s->left -= n;
		} else {
			s->head[s->head_len++] = bytes.ptr[0];
			if (s->head_len == sizeof s->head)
				take_head(p, s, tell);
		}
		bytes = slice_of(bytes.ptr + n, bytes.len - n);
	}
}

static void on_request(struct party *c, char type)
{
	bool is_end = type == FE_QUERY || type == FE_SYNC || type == FE_FUNCTION_CALL;

	c->due += is_end;
	c->has_more = !is_end;
}

static bool is_told_unasked(char type)
{
	return type == BE_NOTICE || type == BE_NOTIFICATION || type == BE_PARAMETER_STATUS ||
	       type == BE_ERROR || type == BE_READY;
}

static void on_answer(struct party *c, char type)
{
	bool is_logged_in = c->ready > 0;

	if (tier.ways.is_replication || tier.ways.is_of_strangers)
		return; /* all is the server's to say, or a byte is no message */
	if (is_logged_in) {
		WEIR_ASSERT(type != BE_AUTHENTICATION && type != BE_BACKEND_KEY_DATA);
		WEIR_ASSERT(is_told_unasked(type) || c->has_more || c->due > c->ready);
	}
	c->ready += type == BE_READY;
	WEIR_ASSERT(c->ready <= c->due);
}

/* --- sockets --- */

static void hang_up(struct party *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
}

/* Whoever can't take it all any more has heard enough. */
static void send_all(struct party *p, struct slice bytes)
{
	if (p->fd >= 0 && bytes.len &&
	    send(p->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL) != (ssize_t)bytes.len)
		hang_up(p);
}

static bool receive(struct party *p, on_message *tell)
{
	static char bytes[CHUNK_BYTES];
	ssize_t n = p->fd < 0 ? 0 : recv(p->fd, bytes, sizeof bytes, 0);

	if (n > 0 && tell) {
		watch(p, &p->got, slice_of(bytes, (size_t)n), tell);
		WEIR_ASSERT(!p->got.is_over || tier.ways.is_replication || tier.ways.is_of_strangers);
	}
	return n > 0;
}

static void log_in_server(struct party *s)
{
	struct buf b;

	buf_init(&b, CHUNK_BYTES);
	buf_append_slice(&b, wire_auth_ok);
	build_parameter_status(&b, slice_str("server_version"), slice_str("15.8"));
	build_parameter_status(&b, slice_str("DateStyle"), slice_str("ISO, MDY"));
	build_backend_key_data(&b, SERVER_PID + tier.server_count, slice_str("secret"));
	buf_append_slice(&b, wire_ready_idle);
	send_all(s, buf_slice(&b));
	buf_fini(&b);
}

static struct party *place_for_server(void)
{
	for (unsigned i = 0; i < TIER_SERVERS; i++)
		if (tier.servers[i].fd < 0)
			return &tier.servers[i];
	return NULL;
}

static void accept_server(void)
{
	struct party *s = place_for_server();
	int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (!s) {
		close(fd);
		return;
	}
	*s = (struct party){ .fd = fd };
	tier.server_count++;
	if (!tier.ways.has_own_log_in)
		log_in_server(s);
}

static void log_in_client(struct party *c)
{
	const struct slice pairs[] = {
		slice_str("user"), slice_str("ann"), slice_str("database"), slice_str("app"),
		slice_str(tier.ways.is_replication ? "replication" : "DateStyle"),
		slice_str(tier.ways.is_replication ? "database" : "ISO"),
	};
	bool has_more = tier.ways.is_replication || tier.ways.has_settings;
	struct buf b;

	c->due = 1;
	buf_init(&b, CHUNK_BYTES);
	build_startup(&b, tier.ways.has_3_2 ? PG_PROTOCOL_3_2 : PG_PROTOCOL_3_0, pairs,
	              has_more ? 3 : 2);
	send_all(c, buf_slice(&b));
	buf_fini(&b);
	tier_settle();
}

static void connect_client(struct party *c)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0)
		abort();
	*c = (struct party){ .fd = fds[0] };
	proxy_expect_client(tier.proxy);
	proxy_accept(tier.proxy, fds[1], true);
	if (!tier.ways.is_of_strangers)
		log_in_client(c);
}

/* --- the control plane --- */

static void on_suspect(void *ctx, const char *cluster, uint16_t node_id)
{
	(void)ctx;
	(void)cluster;
	(void)node_id;
}

static void on_name(void *ctx, const char *name)
{
	(void)ctx;
	(void)name;
}

static void on_listen(void *ctx, const char *database, const char *channel, bool is_on)
{
	(void)ctx;
	(void)database;
	if (is_on)
		snprintf(tier.live_channel, sizeof tier.live_channel, "%s", channel);
}

static void on_catch_up(void *ctx, const char *database, uint64_t client_id)
{
	(void)ctx;
	(void)database;
	tier.caught_up = client_id;
}

static void on_console(void *ctx, struct proxy *proxy, struct client *client, struct slice sql)
{
	(void)ctx;
	(void)proxy;
	(void)sql;
	tier.at_console = client->id;
}

static const struct proxy_hooks hooks = {
	.suspect = on_suspect,
	.catalog_stale = on_name,
	.probe = on_name,
	.listen = on_listen,
	.catch_up = on_catch_up,
	.console = on_console,
	.console_greeting = admin_greeting,
	.console_refuse_extended = admin_refuse_extended,
};

static void answer_console(uint64_t id)
{
	struct client *c = proxy_client_by_id(tier.proxy, id);

	if (c)
		client_console_reply(c, slice_of("", 0));
}

static void answer_hooks(void)
{
	char channel[NAME_BYTES];
	uint64_t caught_up = tier.caught_up, at_console = tier.at_console;

	memcpy(channel, tier.live_channel, sizeof channel);
	tier.live_channel[0] = '\0';
	tier.caught_up = tier.at_console = 0;
	if (channel[0])
		listen_is_live(tier.proxy, "app", channel);
	if (caught_up)
		hear_caught_up(tier.proxy, caught_up);
	if (at_console)
		answer_console(at_console);
}

void tier_notify(const char *channel)
{
	struct notification n = { SERVER_PID + tier.server_count, channel, "payload" };

	hear_notified(tier.proxy, "app", &n);
}

/* --- what is there once --- */

static void listen_once(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int len;

	snprintf(host, sizeof host, "@pgweir-fuzz-%ld", (long)getpid());
	len = snprintf(addr.sun_path, sizeof addr.sun_path, "%s/.s.PGSQL.%d", host, PORT);
	addr.sun_path[0] = '\0';
	listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (bind(listen_fd, (const struct sockaddr *)&addr,
	         (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len)) != 0 ||
	    listen(listen_fd, TIER_SERVERS) != 0)
		abort();
}

static struct settings *settings_of(bool is_session_pool, enum tier_auth auth)
{
	static const char *const auth_types[TIER_AUTHS] = { "any", "scram-sha-256", "md5", "plain" };
	struct config_error error;
	struct config *cfg;
	struct settings *s;
	char text[512], why[256];

	snprintf(text, sizeof text,
	         "[pgweir]\nauth_type = %s\npool_mode = %s\nmax_prepared_statements = 2\n"
	         "server_tls_sslmode = disable\ncache = on\ncache_min_hits = 1\n"
	         "[databases]\napp = host=%s port=%d user=joe pool_size=1\n",
	         auth_types[auth], is_session_pool ? "session" : "transaction", host, PORT);
	cfg = config_load_text(text, &error);
	WEIR_ASSERT(cfg != NULL);
	s = settings_create(cfg, NULL, why, sizeof why);
	WEIR_ASSERT(s != NULL);
	config_put(&cfg);
	return s;
}

static void prepare_once(void)
{
	if (listen_fd >= 0)
		return;
	log_set_level(LOG_LEVEL_ERROR);
	listen_once();
	resolver = resolver_create(1000000, 1000000);
	for (unsigned i = 0; i < 2 * TIER_AUTHS; i++)
		settings[i % 2][i / 2] = settings_of(i % 2, (enum tier_auth)(i / 2));
}

/* --- its life --- */

static void show_topology(void)
{
	const char *cluster = settings[0][TIER_AUTH_ANY]->config->databases[0].cluster->name;
	struct topology *t = mem_zalloc(sizeof *t);
	struct topology_node *n = &t->nodes[0];

	t->refcount = 1;
	t->node_count = 1;
	*n = (struct topology_node){ .role = NODE_ROLE_PRIMARY, .is_running = true, .weight = 1 };
	n->port = PORT;
	n->live = live_nodes(cluster);
	snprintf(n->name, sizeof n->name, "one");
	snprintf(n->host, sizeof n->host, "%s", host);
	proxy_set_topology(tier.proxy, cluster, t);
	topology_put(&t);
}

static void show_catalog(void)
{
	struct catalog_builder *b = catalog_builder_create();
	struct catalog *c;

	catalog_builder_relation(b, 20000, "public", "t", 0);
	catalog_builder_relation(b, 20001, "public", "u", 0);
	c = catalog_builder_finish(&b);
	proxy_set_catalog(tier.proxy, "app", c);
	catalog_put(&c);
}

/* Where the system has no ring, all is on epoll. */
static struct loop *make_loop(bool is_on_ring)
{
	struct loop_options o = {
		.backend = is_on_ring ? LOOP_RING : LOOP_EPOLL,
		.read_bytes = 4096,
		.scratch_bytes = CHUNK_BYTES,
		.ring_buffers = 16,
		.ring_buffer_bytes = 4096,
	};
	struct loop *loop = loop_create(&o);

	if (loop || !is_on_ring)
		return loop;
	o.backend = LOOP_EPOLL;
	return loop_create(&o);
}

void tier_open(const struct tier_ways *ways)
{
	const struct cache_options cache = {
		.local_bytes = 65536, .entry_bytes = 4096, .ttl_ms = 30000, .min_hits = 1,
	};
	struct settings *s;

	prepare_once();
	s = settings[ways->is_session_pool][ways->auth];
	memset(&tier, 0, sizeof tier);
	tier.ways = *ways;
	for (unsigned i = 0; i < TIER_CLIENTS; i++)
		tier.clients[i].fd = -1;
	for (unsigned i = 0; i < TIER_SERVERS; i++)
		tier.servers[i].fd = -1;
	tier.shared.ledger = ledger_create(1);
	tier.shared.sessions = session_table_create(0);
	tier.shared.resolver = resolver;
	tier.shared.metrics = metrics_create(1);
	tier.shared.cache = cache_create(&cache);
	tier.shared.worker_count = 1;
	tier.shared.hooks = &hooks;
	tier.loop = make_loop(ways->is_on_ring);
	tier.proxy = tier.shared.proxies[0] = proxy_create(&tier.shared, 0, tier.loop, s);
	show_topology();
	show_catalog();
}

void tier_close(void)
{
	for (unsigned i = 0; i < TIER_CLIENTS; i++)
		hang_up(&tier.clients[i]);
	for (unsigned i = 0; i < TIER_SERVERS; i++)
		hang_up(&tier.servers[i]);
	proxy_close_all(tier.proxy);
	tier_settle();
	WEIR_ASSERT(tier.shared.client_count == 0 && tier.shared.listener_count == 0);
	proxy_destroy(tier.proxy);
	loop_destroy(tier.loop);
	cache_destroy(tier.shared.cache);
	session_table_destroy(tier.shared.sessions);
	ledger_destroy(tier.shared.ledger);
	metrics_destroy(tier.shared.metrics);
	for (int fd; (fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC)) >= 0;)
		close(fd);
}

void tier_settle(void)
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		loop_turn(tier.loop, false);
		answer_hooks();
		accept_server();
		WEIR_ASSERT(tier.ways.auth == TIER_AUTH_ANY || tier.server_count == 0);
		for (unsigned i = 0; i < TIER_SERVERS; i++)
			while (receive(&tier.servers[i], NULL))
				;
		for (unsigned i = 0; i < TIER_CLIENTS; i++)
			while (receive(&tier.clients[i], on_answer))
				;
	}
}

void tier_client_send(unsigned client, struct slice bytes)
{
	struct party *c = &tier.clients[client];

	if (c->fd < 0)
		connect_client(c);
	watch(c, &c->sent, bytes, on_request);
	send_all(c, bytes);
}

void tier_server_send(unsigned server, struct slice bytes)
{
	send_all(&tier.servers[server], bytes);
}

void tier_client_hang_up(unsigned client)
{
	hang_up(&tier.clients[client]);
}

void tier_server_hang_up(unsigned server)
{
	hang_up(&tier.servers[server]);
}
