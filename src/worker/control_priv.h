/* SPDX-License-Identifier: PostgreSQL */
/*
 * The control plane's inside, shared by the files of this folder only.
 */
#ifndef WEIR_WORKER_CONTROL_PRIV_H
#define WEIR_WORKER_CONTROL_PRIV_H

#include "net/listener.h"
#include "net/loop.h"
#include "net/mailbox.h"
#include "proxy/gate.h"
#include "proxy/proxy.h"
#include "proxy/settings.h"
#include "worker/control.h"
#include "worker/worker.h"

struct admin;
struct http_server;
struct tier;

enum drain_mode {
	DRAIN_BOUNDED, /* clients leave as they become idle, at drain_timeout all */
	DRAIN_SERVERS, /* the same without a bound */
	DRAIN_CLIENTS, /* clients leave when they like */
};

struct cluster_timeline { /* the last one seen with a primary */
	struct list_node node;
	char *cluster; /* owned */
	uint32_t timeline;
};

struct control {
	struct loop *loop;
	struct mailbox *mailbox;
	struct settings *settings;
	struct proxy_shared shared;
	struct proxy_hooks hooks;
	struct worker **workers;   /* owned, worker_count of them */
	unsigned worker_count;
	struct listener *listener; /* owned; NULL: not accepting, or the only worker does */
	bool is_accepting;
	struct tier *tier;
	struct http_server *http;  /* NULL: off */
	struct admin *admin;
	struct list timelines;     /* struct cluster_timeline */
	struct loop_timer drain_timer;
	struct loop_timer tick_timer;
	uint64_t drain_until_us;
	enum drain_mode drain_mode;
	bool is_draining;          /* /readyz says 503 */
	bool is_staying;           /* drained, it waits for a signal: the drain command asked */
	bool is_stopping;
	struct gates gates;        /* what is shown; workers have copies */
	struct list order_waits;   /* console orders that wait, see console_orders.c */
};

/* Publishes a settings snapshot to everybody; takes its own reference. */
void control_publish(struct control *c, struct settings *settings);
int control_reload(struct control *c, char *why, size_t why_size); /* 0 or -1 */
/* PAUSE, DISABLE and their ends; database "" is all. */
void control_set_gate(struct control *c, const char *database, struct gate_state state);
bool control_resume_all(struct control *c); /* false: nothing was paused */
void control_drain(struct control *c, enum drain_mode mode);
void control_stop(struct control *c);

#endif
