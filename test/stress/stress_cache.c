/* SPDX-License-Identifier: PostgreSQL */
/*
 * The cache under load from several threads, checked against an oracle: a
 * table is one number that only grows, and no answer may be older than what
 * the same process had acknowledged before the question was asked. Two caches
 * (two processes, as far as they know) with two workers each, sharing a real
 * Redis if there is one, then a Redis Cluster of which a master is killed
 * meanwhile. Fills come from the "primary" or from a "replica"
 * that lags. A plain program, for ThreadSanitizer; it speaks TAP.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "cache/cache.h"
#include "net/loop.h"

enum {
	TABLES = 6,
	KEYS_PER_TABLE = 3,
	CACHES = 2,
	WORKERS = 2,
	CLIENTS = 16,
	TICK_US = 1000,
	RUN_MS = 4000, /* half of it with oids in doubt, when every write voids its database */
	CLUSTER_RUN_MS = 10000,
	KILL_MS = 3500, /* into the run */
	NODES = 6,
};

/* The Redis of a run; count 0: none. */
struct redis {
	unsigned count;
	uint16_t ports[NODES];
	pid_t pids[NODES];
	bool is_killed; /* one master of the cluster */
};

/* The database: what is committed; and a copy that lags. */
struct database {
	_Atomic uint64_t value[TABLES];
	pthread_mutex_t replica_mutex;
	uint64_t replica_value[TABLES];
	uint64_t replica_fresh_us;
};

struct process {
	struct cache *cache;
	_Atomic uint64_t acked[TABLES]; /* to clients of this process */
};

struct worker;

struct client {
	struct worker *worker;
	struct cache_lookup lookup;
	struct cache_fill fill;
	unsigned table;
	uint64_t acked_before;
	bool is_busy;
	bool has_result; /* the query has run, its result isn't stored yet */
	uint64_t result, fresh_us;
};

struct worker {
	pthread_t thread;
	struct database *db;
	struct process *process;
	struct loop *loop;
	struct cache_worker *cache;
	struct loop_timer timer;
	uint64_t end_us;
	unsigned seed;
	uint64_t hits, misses, writes, stale;
	struct client clients[CLIENTS];
};

static void raise_to(_Atomic uint64_t *value, uint64_t to)
{
	uint64_t seen = atomic_load(value);

	while (seen < to && !atomic_compare_exchange_weak(value, &seen, to))
		;
}

static struct cache_deps deps_of(unsigned table)
{
	return (struct cache_deps){ .database = slice_str("main/app"),
		                        .table_count = 1,
		                        .tables = { table + 1 } };
}

static void take_hit(struct client *c, struct cache_entry *entry)
{
	uint64_t value;

	memcpy(&value, cache_entry_rows(entry).ptr + 5, sizeof value);
	cache_entry_put(&entry);
	c->worker->hits++;
	c->worker->stale += value < c->acked_before;
	c->is_busy = false;
}

/* Runs the query: on the primary, or on the replica as it is now. */
static void run_query(struct client *c)
{
	struct worker *w = c->worker;

	w->misses++;
	c->has_result = true;
	if (rand_r(&w->seed) % 2) {
		c->result = atomic_load(&w->db->value[c->table]);
		c->fresh_us = UINT64_MAX;
		return;
	}
	pthread_mutex_lock(&w->db->replica_mutex);
	c->result = w->db->replica_value[c->table];
	c->fresh_us = w->db->replica_fresh_us;
	pthread_mutex_unlock(&w->db->replica_mutex);
}

static void store(struct client *c)
{
	char rows[5 + sizeof c->result] = { 'C', 0, 0, 0, 4 + sizeof c->result };

	memcpy(rows + 5, &c->result, sizeof c->result);
	cache_store(c->worker->cache, &c->fill, c->fresh_us, slice_of("n\0\0\0\4", 5),
	            slice_of(rows, sizeof rows));
	c->has_result = false;
	c->is_busy = false;
}

static void on_done(struct cache_lookup *lookup, enum cache_result result,
                    struct cache_entry *entry)
{
	struct client *c = (struct client *)(void *)((char *)lookup - offsetof(struct client, lookup));

	if (result == CACHE_HIT)
		take_hit(c, entry);
	else
		run_query(c);
}

static void ask(struct client *c)
{
	struct worker *w = c->worker;
	struct cache_deps deps = deps_of(c->table);
	uint64_t n = c->table * KEYS_PER_TABLE + (unsigned)rand_r(&w->seed) % KEYS_PER_TABLE;
	struct hash128 key = { n * 0x9e3779b97f4a7c15u, n };
	struct cache_entry *entry = NULL;
	enum cache_result result;

	c->is_busy = true;
	c->acked_before = atomic_load(&w->process->acked[c->table]);
	c->lookup.on_done = on_done;
	result = cache_lookup_start(w->cache, &c->lookup, &key, &deps, 0, &c->fill, &entry);
	if (result != CACHE_PENDING)
		on_done(&c->lookup, result, entry);
}

static void write_table(struct worker *w, unsigned table)
{
	struct cache_deps deps = deps_of(table);
	uint64_t value = atomic_fetch_add(&w->db->value[table], 1) + 1;

	cache_invalidate(w->cache, &deps);
	raise_to(&w->process->acked[table], value);
	w->writes++;
}

static void step(struct client *c)
{
	struct worker *w = c->worker;

	if (c->has_result) {
		store(c);
		return;
	}
	if (c->is_busy)
		return;
	c->table = (unsigned)rand_r(&w->seed) % TABLES;
	if (rand_r(&w->seed) % 64 == 0)
		write_table(w, c->table);
	else
		ask(c);
}

static void on_tick(struct loop_timer *timer)
{
	struct worker *w = (struct worker *)(void *)((char *)timer - offsetof(struct worker, timer));

	for (unsigned i = 0; i < CLIENTS; i++)
		step(&w->clients[i]);
	if (clock_monotonic_us() < w->end_us)
		loop_timer_arm(w->loop, &w->timer, TICK_US, on_tick);
	else
		loop_stop(w->loop);
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (unsigned i = 0; i < CLIENTS; i++)
		w->clients[i].worker = w;
	w->loop = loop_create(&(struct loop_options){ .tick_ms = 1 });
	w->cache = cache_worker_create(w->process->cache, w->loop);
	loop_timer_arm(w->loop, &w->timer, TICK_US, on_tick);
	loop_run(w->loop);
	for (unsigned i = 0; i < CLIENTS; i++)
		cache_lookup_cancel(&w->clients[i].lookup);
	cache_worker_destroy(w->cache);
	loop_destroy(w->loop);
	return NULL;
}

/* The replica catches up now and then; the time is taken before the values. */
static void replay(struct database *db)
{
	uint64_t fresh_us = clock_monotonic_us();

	pthread_mutex_lock(&db->replica_mutex);
	for (unsigned t = 0; t < TABLES; t++)
		db->replica_value[t] = atomic_load(&db->value[t]);
	db->replica_fresh_us = fresh_us;
	pthread_mutex_unlock(&db->replica_mutex);
}

static struct cache *open_cache(const struct redis *redis)
{
	struct cache_options o = {
		.local_bytes = 1 << 20,
		.entry_bytes = 4096,
		.ttl_ms = 60000,
		.min_hits = 1,
		.admission_window_ms = 60000,
		.redis = { .mode = redis->count > 1 ? CACHE_REDIS_CLUSTER : CACHE_REDIS_SINGLE,
		           .seed_count = redis->count,
		           .timeout_ms = 500,
		           .prefix = "stress" },
	};

	for (unsigned i = 0; i < redis->count; i++)
		o.redis.seeds[i] = (struct cache_seed){ "127.0.0.1", redis->ports[i] };
	return cache_create(&o);
}

/* The cluster's first node is a master. */
static void kill_master(struct redis *redis, uint64_t begin_us)
{
	if (redis->count < NODES || redis->is_killed ||
	    clock_monotonic_us() - begin_us < KILL_MS * 1000u)
		return;
	redis->is_killed = true;
	kill(redis->pids[0], SIGKILL);
}

static void run_all(struct worker *workers, struct database *db, struct process *processes,
                    struct redis *redis)
{
	uint64_t begin_us = clock_monotonic_us();
	uint64_t end_us = begin_us + (redis->count > 1 ? CLUSTER_RUN_MS : RUN_MS) * 1000u;

	for (unsigned i = 0; i < CACHES * WORKERS; i++) {
		workers[i] = (struct worker){
			.db = db, .process = &processes[i % CACHES], .end_us = end_us, .seed = i + 1
		};
		pthread_create(&workers[i].thread, NULL, work, &workers[i]);
	}
	while (clock_monotonic_us() < end_us) {
		usleep(5000);
		replay(db);
		kill_master(redis, begin_us);
		if (rand() % 50 == 0)
			cache_void_cluster(processes[0].cache, slice_str("main"));
	}
	for (unsigned i = 0; i < CACHES * WORKERS; i++)
		pthread_join(workers[i].thread, NULL);
}

static bool stress(unsigned number, const char *with, struct redis *redis)
{
	static struct worker workers[CACHES * WORKERS];
	struct database db = { .replica_mutex = PTHREAD_MUTEX_INITIALIZER };
	struct process processes[CACHES] = { 0 };
	uint64_t hits = 0, misses = 0, writes = 0, stale = 0;
	bool is_ok;

	for (unsigned i = 0; i < CACHES; i++)
		processes[i].cache = open_cache(redis);
	replay(&db);
	run_all(workers, &db, processes, redis);
	for (unsigned i = 0; i < CACHES * WORKERS; i++) {
		hits += workers[i].hits;
		misses += workers[i].misses;
		writes += workers[i].writes;
		stale += workers[i].stale;
	}
	for (unsigned i = 0; i < CACHES; i++)
		cache_destroy(processes[i].cache);
	is_ok = !stale && hits && misses && writes;
	printf("%sok %u - %s: %llu hits, %llu misses, %llu writes, %llu stale\n", is_ok ? "" : "not ",
	       number, with, (unsigned long long)hits,
	       (unsigned long long)misses, (unsigned long long)writes, (unsigned long long)stale);
	fflush(stdout);
	return is_ok;
}

/* Below the range that the kernel gives to outgoing connections (ip(7)): one of those could
 * take the port before the server does. */
static uint16_t free_port(void)
{
	enum { FIRST = 10000, LAST = 20999, TRIES = 100 };
	struct sockaddr_in addr = { .sin_family = AF_INET };
	uint16_t port = 0, found = 0;
	int fd;

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (unsigned i = 0; i < TRIES && !found; i++) {
		fd = socket(AF_INET, SOCK_STREAM, 0);
		if (fd < 0 || getrandom(&port, sizeof port, 0) != sizeof port)
			abort();
		port = (uint16_t)(FIRST + port % (LAST - FIRST + 1));
		addr.sin_port = htons(port);
		if (bind(fd, (struct sockaddr *)&addr, sizeof addr) == 0)
			found = port;
		close(fd);
	}
	if (!found)
		abort();
	return found;
}

static bool is_listening(uint16_t port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	bool is_up;

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	is_up = fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof addr) == 0;
	if (fd >= 0)
		close(fd);
	return is_up;
}

/* At a low priority beside others a start may take seconds. */
static void await_start(uint16_t port)
{
	enum { TRIES = 600, PAUSE_US = 50000 };

	for (unsigned i = 0; i < TRIES && !is_listening(port); i++)
		usleep(PAUSE_US);
}

/* `count` servers on free ports, each in a folder of its own below `folder`. */
static void redis_start(struct redis *redis, unsigned count, const char *folder)
{
	uint16_t bus_ports[NODES];
	char port[8], bus[8], dir[64];

	*redis = (struct redis){ .count = count };
	for (unsigned i = 0; i < count; i++) {
		redis->ports[i] = free_port();
		snprintf(port, sizeof port, "%u", (unsigned)redis->ports[i]);
		bus_ports[i] = free_port();
		snprintf(bus, sizeof bus, "%u", (unsigned)bus_ports[i]);
		snprintf(dir, sizeof dir, "%s/%u", folder, i);
		mkdir(dir, 0700);
		redis->pids[i] = fork();
		if (redis->pids[i] == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			execlp("redis-server", "redis-server", "--port", port, "--bind", "127.0.0.1",
			       "--save", "", "--logfile", "/dev/null", "--dir", dir, "--cluster-enabled",
			       count > 1 ? "yes" : "no", "--cluster-port", bus, "--cluster-node-timeout",
			       "1000", (char *)NULL);
			_exit(127);
		}
	}
	for (unsigned i = 0; i < count; i++) {
		await_start(redis->ports[i]);
		if (count > 1)
			await_start(bus_ports[i]);
	}
}

static bool cluster_form(const struct redis *redis)
{
	char command[512] = "redis-cli --cluster-yes --cluster-replicas 1 --cluster create";
	size_t len = strlen(command);

	for (unsigned i = 0; i < redis->count; i++)
		len += (size_t)snprintf(command + len, sizeof command - len, " 127.0.0.1:%u",
		                        (unsigned)redis->ports[i]);
	snprintf(command + len, sizeof command - len, " >/dev/null 2>&1");
	if (system(command) != 0)
		return false;
	usleep(2000000); /* replicas have to be in step */
	return true;
}

static void redis_stop(struct redis *redis)
{
	for (unsigned i = 0; i < redis->count; i++) {
		kill(redis->pids[i], SIGKILL);
		waitpid(redis->pids[i], NULL, 0);
	}
}

static bool stress_redis(const char *folder)
{
	struct redis redis;
	bool is_ok;

	redis_start(&redis, 1, folder);
	is_ok = stress(2, "with Redis", &redis);
	redis_stop(&redis);
	redis_start(&redis, NODES, folder);
	if (cluster_form(&redis)) {
		is_ok &= stress(3, "with a Redis Cluster that loses a master", &redis);
	} else {
		printf("not ok 3 - no cluster could be formed\n");
		is_ok = false;
	}
	redis_stop(&redis);
	return is_ok;
}

int main(void)
{
	char folder[] = "/tmp/weir-stress-XXXXXX", remove[64];
	bool is_ok;

	hash_seed_init();
	log_set_level(LOG_LEVEL_ERROR);
	printf("1..3\n");
	is_ok = stress(1, "local only", &(struct redis){ 0 });
	if (system("command -v redis-server redis-cli >/dev/null 2>&1") != 0 || !mkdtemp(folder)) {
		printf("ok 2 - with Redis # SKIP no redis-server on this machine\n"
		       "ok 3 - with a Redis Cluster # SKIP the same\n");
		return is_ok ? 0 : 1;
	}
	is_ok &= stress_redis(folder);
	snprintf(remove, sizeof remove, "rm -r %s", folder);
	return system(remove) == 0 && is_ok ? 0 : 1;
}
