/* SPDX-License-Identifier: PostgreSQL */
/*
 * Who the masters are, of a cluster or a set under Sentinel. One worker, the
 * listener, asks: at the start, every few seconds, and when somebody found the
 * map to be wrong (a redirection, a link that went down, +switch-master), but
 * never two at once and never twice within REFRESH_MIN_US. It connects, asks,
 * and hangs up; whoever doesn't answer is followed by the next: the masters
 * that are known, then the seeds.
 *
 *   cluster   CLUSTER INFO (a state of ok, an epoch that isn't older than one
 *             seen before: a node that was cut off doesn't know better), then
 *             CLUSTER SLOTS
 *   sentinel  SENTINEL get-master-addr-by-name
 *
 * A new map goes to all workers by mail. Is a master of the old one none any
 * more, then what this process told it may be lost with it, and may have been
 * heard by nobody who asks its heir: everything is owed (publish.c).
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "cache/shared.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	REFRESH_MIN_US = 250 * 1000,
	REFRESH_IDLE_US = 5 * 1000 * 1000,
	NEXT_US = 20 * 1000,   /* to the next candidate */
	ROUND_US = 500 * 1000, /* after all of them have failed */
	REPLY_MAX_BYTES = 4 * 1024 * 1024,
};

struct discovery {
	struct cache_worker *worker; /* borrowed: owns us */
	struct link link;
	struct link_options options;
	struct link switches; /* subscribed to a sentinel's +switch-master */
	struct link_options switch_options;
	unsigned switch_seed;
	struct link_request request;
	struct loop_timer timer;
	bool is_asking, is_wanted; /* wanted: again after this one */
	uint64_t asked_us;
	unsigned candidate, failures; /* failures: of candidates in a row */
	uint64_t epoch, epoch_told;   /* the newest seen; of the answer under way */
	unsigned old_answers;         /* in a row, with an older epoch */
	bool is_state_ok;
	char host[SLOTS_HOST_MAX + 1], name[SLOTS_HOST_MAX + 1];
};

static void on_timer(struct loop_timer *timer);

static struct discovery *discovery_of(struct link *link)
{
	return (struct discovery *)(void *)((char *)link - offsetof(struct discovery, link));
}

static void arm(struct discovery *d, uint64_t delay_us)
{
	loop_timer_cancel(&d->timer);
	loop_timer_arm(d->worker->loop, &d->timer, delay_us, on_timer);
}

/* As soon as the last one was long enough ago. */
static void arm_soon(struct discovery *d)
{
	uint64_t ago_us = loop_now_us(d->worker->loop) - d->asked_us;

	arm(d, ago_us < REFRESH_MIN_US ? REFRESH_MIN_US - ago_us : 1);
}

static void want(struct discovery *d)
{
	if (d->is_asking || d->is_wanted) {
		d->is_wanted = true;
		return;
	}
	d->is_wanted = true;
	if (d->failures == 0)
		arm_soon(d);
}

/* --- a map that was found ------------------------------------------------------------- */

struct map_mail {
	struct mail mail;
	struct slots *slots; /* counted */
};

static void deliver_map(struct mail *mail, void *receiver)
{
	struct map_mail *m = (struct map_mail *)(void *)mail;
	struct cache_worker *w = receiver;

	if (w->is_closing)
		slots_put(&m->slots);
	else
		nodes_adopt(w, &m->slots);
	mem_free(m);
}

static void post(struct cache_worker *w, struct slots *slots)
{
	struct map_mail *m = mem_zalloc(sizeof *m);

	m->slots = slots_get(slots);
	m->mail.deliver = deliver_map;
	mailbox_post(w->mailbox, &m->mail);
}

/* Slots that move between the same masters do so by the thousand. */
static void log_map(const struct slots *before, const struct slots *s)
{
	if (before && slots_keeps_masters(before, s) && slots_keeps_masters(s, before))
		log_debug("redis_slots_moved", "masters=%u", s->node_count);
	else
		log_info("redis_masters", "count=%u first=%s:%u", s->node_count, s->nodes[0].host,
		         (unsigned)s->nodes[0].port);
}

/* The listener adopts it here and now, the others by mail. Consumed. */
static void set_map(struct cache_worker *w, struct slots *slots)
{
	struct cache *c = w->cache;
	struct slots *mine = slots_get(slots);

	log_map(w->slots, slots);
	atomic_fetch_add(&c->map_changes, 1);
	pthread_mutex_lock(&c->workers_mutex);
	if (c->slots && !slots_keeps_masters(c->slots, slots))
		publish_owe(c);
	slots_put(&c->slots);
	c->slots = slots;
	list_foreach (&c->workers, n)
		if (list_entry(n, struct cache_worker, node) != w)
			post(list_entry(n, struct cache_worker, node), slots);
	pthread_mutex_unlock(&c->workers_mutex);
	nodes_adopt(w, &mine);
	listen_adopt(w, slots);
}

/* --- one question ----------------------------------------------------------------------- */

static unsigned candidate_count(const struct discovery *d)
{
	const struct cache_worker *w = d->worker;

	return w->cache->options.redis.seed_count +
	       (w->cache->is_cluster && w->slots ? w->slots->node_count : 0);
}

static void choose(struct discovery *d)
{
	const struct cache_redis *r = &d->worker->cache->options.redis;
	unsigned masters = candidate_count(d) - r->seed_count;
	unsigned i = d->candidate % candidate_count(d);
	uint16_t port = i < masters ? d->worker->slots->nodes[i].port : r->seeds[i - masters].port;

	snprintf(d->host, sizeof d->host, "%s",
	         i < masters ? d->worker->slots->nodes[i].host : r->seeds[i - masters].host);
	snprintf(d->name, sizeof d->name, "%s", i < masters ? d->worker->slots->nodes[i].name : "");
	node_set_host(&d->options, d->host, port);
	if (d->name[0])
		d->options.tls_name = d->name;
}

static void end(struct discovery *d)
{
	link_close(&d->link);
	d->is_asking = false;
	d->candidate++;
}

static void fail(struct discovery *d)
{
	end(d);
	if (++d->failures == candidate_count(d))
		log_warn("redis_masters_unknown", "asked=%u last=%s", d->failures, d->host);
	arm(d, d->failures % candidate_count(d) ? NEXT_US : ROUND_US);
}

static void succeed(struct discovery *d, struct slots *slots)
{
	struct cache_worker *w = d->worker;

	end(d);
	d->failures = 0;
	if (!w->slots || !slots_equal(w->slots, slots))
		set_map(w, slots);
	else
		slots_put(&slots);
	if (d->is_wanted)
		arm_soon(d);
	else
		arm(d, REFRESH_IDLE_US);
}

/* --- a cluster's answers ------------------------------------------------------------------ */

static uint64_t number_of(struct slice text)
{
	char digits[24];

	snprintf(digits, sizeof digits, "%.*s", (int)(text.len < 20 ? text.len : 20), text.ptr);
	return strtoull(digits, NULL, 10);
}

static void take_info(struct discovery *d, const struct redis_value *v)
{
	struct slice text;

	d->is_state_ok = v->type == REDIS_TYPE_STRING || redis_error_is(v, "NOPERM");
	d->epoch_told = d->epoch;
	if (v->type != REDIS_TYPE_STRING)
		return;
	if (greet_info_find(v->text, "cluster_state", &text))
		d->is_state_ok = slice_is(text, "ok");
	if (greet_info_find(v->text, "cluster_current_epoch", &text))
		d->epoch_told = number_of(text);
}

/* Older answers in a row from everybody: it is another cluster, made anew. */
static bool is_old(struct discovery *d)
{
	if (d->epoch_told >= d->epoch || ++d->old_answers > 2 * candidate_count(d)) {
		d->epoch = d->epoch_told;
		d->old_answers = 0;
		return false;
	}
	return true;
}

static struct slots *take_slots(struct discovery *d, const struct redis_reply *reply)
{
	const char *why = "";
	struct slots *s;

	if (!d->is_state_ok || is_old(d))
		return NULL;
	s = slots_from_reply(reply, slice_str(d->host), &why);
	if (!s && d->failures < candidate_count(d))
		log_warn("redis_slots_refused", "host=%s why=\"%s\"", d->host,
		         reply->value.type == REDIS_TYPE_ERROR ? "an error" : why);
	return s;
}

/* --- a sentinel's answer -------------------------------------------------------------------- */

static struct slots *take_address(struct discovery *d, const struct redis_reply *reply)
{
	const struct redis_value *v = reply->deep;
	uint64_t port;

	if (reply->value.type != REDIS_TYPE_ARRAY || reply->deep_count != 2 ||
	    v[0].type != REDIS_TYPE_STRING || v[1].type != REDIS_TYPE_STRING || v[0].text.len == 0 ||
	    memchr(v[0].text.ptr, '\0', v[0].text.len)) {
		if (d->failures < candidate_count(d))
			log_warn("redis_sentinel_knows_no_master", "sentinel=%s master=%s", d->host,
			         d->worker->cache->options.redis.master);
		return NULL;
	}
	port = number_of(v[1].text);
	return port > 0 && port <= UINT16_MAX ? slots_single(v[0].text, (uint16_t)port) : NULL;
}

static void on_reply(struct link_request *self, const struct redis_reply *reply)
{
	struct discovery *d = list_entry(self, struct discovery, request);
	struct slots *slots;

	if (!reply)
		return; /* on_down follows, or it is closed */
	if (d->worker->cache->is_cluster && self->remaining > 0) {
		take_info(d, &reply->value);
		return;
	}
	slots = d->worker->cache->is_cluster ? take_slots(d, reply) : take_address(d, reply);
	if (slots)
		succeed(d, slots);
	else
		fail(d);
}

static void on_ready(struct link *link)
{
	struct discovery *d = discovery_of(link);
	struct slice info[2] = { slice_str("CLUSTER"), slice_str("INFO") };
	struct slice slots[2] = { slice_str("CLUSTER"), slice_str("SLOTS") };
	struct slice sentinel[3] = { slice_str("SENTINEL"), slice_str("get-master-addr-by-name") };

	d->request.on_reply = on_reply;
	if (d->worker->cache->is_cluster) {
		link_add(link, 2, info);
		link_add(link, 2, slots);
		link_send(link, &d->request, 2);
		return;
	}
	sentinel[2] = slice_str(d->worker->cache->options.redis.master);
	link_add(link, 3, sentinel);
	link_send(link, &d->request, 1);
}

static void on_down(struct link *link, bool was_ready)
{
	(void)was_ready;
	fail(discovery_of(link));
}

static const struct link_ops ops = { .on_ready = on_ready, .on_down = on_down };

static void on_timer(struct loop_timer *timer)
{
	struct discovery *d = (struct discovery *)(void *)((char *)timer -
	                                                   offsetof(struct discovery, timer));

	d->is_wanted = false;
	d->is_asking = true;
	d->asked_us = loop_now_us(d->worker->loop);
	atomic_fetch_add(&d->worker->cache->refreshes, 1);
	choose(d);
	link_open(&d->link, d->worker->mailbox, d->worker->loop, &d->options, &ops);
}

/* --- +switch-master ------------------------------------------------------------------------- */

static void on_switches_ready(struct link *link)
{
	(void)link;
}

/* The link tries again by itself, with the next sentinel. */
static void on_switches_down(struct link *link, bool was_ready)
{
	struct discovery *d =
		(struct discovery *)(void *)((char *)link - offsetof(struct discovery, switches));
	const struct cache_redis *r = &d->worker->cache->options.redis;
	const struct cache_seed *seed = &r->seeds[++d->switch_seed % r->seed_count];

	(void)was_ready;
	node_set_host(&d->switch_options, seed->host, seed->port);
}

/* "<name> <old host> <old port> <new host> <new port>": only a hint, who is master is asked for. */
static void on_switch(struct link *link, struct slice text)
{
	struct discovery *d =
		(struct discovery *)(void *)((char *)link - offsetof(struct discovery, switches));
	struct slice name = slice_str(d->worker->cache->options.redis.master);

	if (text.len > name.len && text.ptr[name.len] == ' ' &&
	    slice_equal(slice_of(text.ptr, name.len), name))
		want(d);
}

static const struct link_ops switch_ops = {
	.on_ready = on_switches_ready,
	.on_down = on_switches_down,
	.on_message = on_switch,
};

/* --- open, close, want ------------------------------------------------------------------------ */

static void open_sentinel(struct discovery *d)
{
	struct cache_worker *w = d->worker;
	const struct cache_redis *r = &w->cache->options.redis;

	d->options.greet.user = r->sentinel_user;
	d->options.greet.password = r->sentinel_password;
	d->switch_options = d->options;
	d->switch_options.is_deep = false;
	d->switch_options.greet.channel = "+switch-master";
	node_set_host(&d->switch_options, r->seeds[0].host, r->seeds[0].port);
	link_open(&d->switches, w->mailbox, w->loop, &d->switch_options, &switch_ops);
}

void discover_open(struct cache_worker *w)
{
	struct discovery *d;

	if (w->cache->options.redis.mode == CACHE_REDIS_SINGLE)
		return;
	d = mem_zalloc(sizeof *d);
	d->worker = w;
	d->options = w->cache->link;
	d->options.greet.takes_any = true;
	d->options.is_deep = true;
	d->options.reply_max_bytes = REPLY_MAX_BYTES;
	w->discovery = d;
	if (w->cache->options.redis.mode == CACHE_REDIS_SENTINEL)
		open_sentinel(d);
	arm(d, 1);
}

void discover_close(struct cache_worker *w)
{
	struct discovery *d = w->discovery;

	if (!d)
		return;
	w->discovery = NULL;
	loop_timer_cancel(&d->timer);
	if (d->is_asking)
		link_close(&d->link);
	if (w->cache->options.redis.mode == CACHE_REDIS_SENTINEL)
		link_close(&d->switches);
	mem_free(d);
}

struct want_mail {
	struct mail mail;
	struct cache *cache; /* borrowed: outlives its workers */
};

static void deliver_want(struct mail *mail, void *receiver)
{
	struct want_mail *m = (struct want_mail *)(void *)mail;
	struct cache_worker *w = receiver;

	atomic_store(&m->cache->is_want_posted, false);
	if (w->discovery)
		want(w->discovery);
	mem_free(m);
}

static void post_want(struct cache *c)
{
	struct want_mail *m;

	pthread_mutex_lock(&c->workers_mutex);
	if (c->listener) {
		m = mem_zalloc(sizeof *m);
		m->cache = c;
		m->mail.deliver = deliver_want;
		mailbox_post(c->listener->mailbox, &m->mail);
	} else {
		atomic_store(&c->is_want_posted, false);
	}
	pthread_mutex_unlock(&c->workers_mutex);
}

void discover_want(struct cache_worker *w)
{
	struct cache *c = w->cache;

	if (c->options.redis.mode == CACHE_REDIS_SINGLE || w->is_closing)
		return;
	if (!w->is_listener) {
		if (!atomic_exchange(&c->is_want_posted, true))
			post_want(c);
	} else if (w->discovery) {
		want(w->discovery);
	}
}
