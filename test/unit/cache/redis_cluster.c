/* SPDX-License-Identifier: PostgreSQL */
/* A Redis Cluster of child processes. One thread; ends the test on what shouldn't happen. */
#include "redis_cluster.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SLOTS = 16384, TRIES = 3000, TRY_US = 20000, REPLY_MAX = 8192, ID_LEN = 40 };

static unsigned first_slot(const struct redis_cluster *c, unsigned master)
{
	return master * SLOTS / c->masters;
}

static void until_says(struct redis_server *s, const char *command, const char *text)
{
	static char reply[REPLY_MAX];

	for (unsigned i = 0; i < TRIES; i++) {
		redis_server_command(s, reply, sizeof reply, "%s", command);
		if (strstr(reply, text))
			return;
		usleep(TRY_US);
	}
	cr_assert_fail("%s never says %s: %s", command, text, reply);
}

static void id_of(struct redis_server *s, char id[ID_LEN + 1])
{
	redis_server_command(s, id, ID_LEN + 1, "CLUSTER MYID");
}

static void start_node(struct redis_cluster *c, unsigned i, const char *config)
{
	char text[512];

	snprintf(text, sizeof text,
	         "cluster-enabled yes\ncluster-config-file nodes.conf\ncluster-port %u\n"
	         "cluster-node-timeout 1000\ncluster-require-full-coverage no\n"
	         "cluster-replica-validity-factor 0\nrepl-diskless-sync-delay 0\n%s",
	         redis_server_free_port(), config ? config : "");
	redis_server_start(&c->nodes[i], text);
}

static void meet(struct redis_cluster *c)
{
	char reply[128], known[32];

	for (unsigned i = 0; i < c->masters; i++)
		redis_server_command(&c->nodes[i], reply, sizeof reply, "CLUSTER ADDSLOTSRANGE %u %u",
		                     first_slot(c, i), first_slot(c, i + 1) - 1);
	for (unsigned i = 1; i < c->count; i++)
		redis_server_command(&c->nodes[0], reply, sizeof reply, "CLUSTER MEET 127.0.0.1 %u %u",
		                     c->nodes[i].port, redis_server_bus_port(&c->nodes[i]));
	snprintf(known, sizeof known, "cluster_known_nodes:%u", c->count);
	for (unsigned i = 0; i < c->count; i++)
		until_says(&c->nodes[i], "CLUSTER INFO", known);
}

void redis_cluster_start(struct redis_cluster *c, unsigned masters, bool has_replicas,
                         const char *config)
{
	char id[ID_LEN + 1], reply[128];

	memset(c, 0, sizeof *c);
	c->masters = masters;
	c->count = has_replicas ? 2 * masters : masters;
	for (unsigned i = 0; i < c->count; i++)
		start_node(c, i, config);
	meet(c);
	for (unsigned i = masters; i < c->count; i++) {
		id_of(&c->nodes[i - masters], id);
		redis_server_command(&c->nodes[i], reply, sizeof reply, "CLUSTER REPLICATE %s", id);
	}
	for (unsigned i = masters; i < c->count; i++)
		until_says(&c->nodes[i], "INFO replication", "master_link_status:up");
	for (unsigned i = 0; i < c->count; i++) {
		until_says(&c->nodes[i], "CLUSTER INFO", "cluster_state:ok");
		until_says(&c->nodes[i], "CLUSTER INFO", "cluster_slots_ok:16384");
	}
}

void redis_cluster_stop(struct redis_cluster *c)
{
	for (unsigned i = 0; i < c->count; i++)
		redis_server_stop(&c->nodes[i]);
}

void redis_cluster_until_master(struct redis_cluster *c, unsigned node)
{
	until_says(&c->nodes[node], "INFO replication", "role:master");
}

unsigned redis_cluster_slot(struct redis_cluster *c, const char *key)
{
	char reply[32];

	redis_server_command(&c->nodes[0], reply, sizeof reply, "CLUSTER KEYSLOT %s", key);
	return (unsigned)strtoul(reply, NULL, 10);
}

unsigned redis_cluster_owner(const struct redis_cluster *c, unsigned slot)
{
	unsigned i = 0;

	while (slot >= first_slot(c, i + 1))
		i++;
	return i;
}

void redis_cluster_begin_move(struct redis_cluster *c, unsigned slot, unsigned from, unsigned to)
{
	char source[ID_LEN + 1], target[ID_LEN + 1], reply[128];

	id_of(&c->nodes[from], source);
	id_of(&c->nodes[to], target);
	redis_server_command(&c->nodes[to], reply, sizeof reply, "CLUSTER SETSLOT %u IMPORTING %s",
	                     slot, source);
	redis_server_command(&c->nodes[from], reply, sizeof reply, "CLUSTER SETSLOT %u MIGRATING %s",
	                     slot, target);
}

void redis_cluster_move_keys(struct redis_cluster *c, unsigned slot, unsigned from, unsigned to)
{
	char key[256], reply[128];

	for (unsigned i = 0; i < 1000; i++) {
		redis_server_command(&c->nodes[from], key, sizeof key, "CLUSTER GETKEYSINSLOT %u 1", slot);
		if (strcmp(key, "nil") == 0)
			return;
		redis_server_command(&c->nodes[from], reply, sizeof reply,
		                     "MIGRATE 127.0.0.1 %u %s 0 5000", c->nodes[to].port, key);
	}
	cr_assert_fail("keys without end in slot %u", slot);
}

void redis_cluster_end_move(struct redis_cluster *c, unsigned slot, unsigned from, unsigned to)
{
	char target[ID_LEN + 1], reply[128];

	id_of(&c->nodes[to], target);
	redis_server_command(&c->nodes[to], reply, sizeof reply, "CLUSTER SETSLOT %u NODE %s", slot,
	                     target);
	redis_server_command(&c->nodes[from], reply, sizeof reply, "CLUSTER SETSLOT %u NODE %s", slot,
	                     target);
}

void redis_cluster_move_slot(struct redis_cluster *c, unsigned slot, unsigned from, unsigned to)
{
	redis_cluster_begin_move(c, slot, from, to);
	redis_cluster_move_keys(c, slot, from, to);
	redis_cluster_end_move(c, slot, from, to);
}
