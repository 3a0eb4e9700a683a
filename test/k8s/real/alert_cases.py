# SPDX-License-Identifier: PostgreSQL
"""For each alert: series that fire it, and the same series just this side of its threshold.

A case is {series: (values of a bad time, values of a good one)} in promtool's
notation, with one value each 30 s, looked at after 25 minutes; slow() takes a
value each 5 minutes and looks after 8 hours. What both times share is one text.
Series that differ by a label (a histogram's buckets) are made by buckets().
"""


class Case:
    """Series of an alert; text() gives a test of promtool."""

    def __init__(self, series, step="30s", at="25m"):
        self.series, self.step, self.at = series, step, at

    def values(self, is_bad):
        return [{"series": name, "values": v if isinstance(v, str) else v[0 if is_bad else 1]}
                for name, v in self.series.items()]


def slow(series):
    return Case(series, "5m", "8h")


def flat(series, bad, good):
    """A gauge that stays where it is."""
    return Case({series: (f"{bad}x60", f"{good}x60")})


def rising(series, bad, good):
    """A counter that rises by so much each 30 s."""
    return Case({series: (f"0+{bad}x60", f"0+{good}x60")})


def buckets(name, bound, bad, good, labels=""):
    """A histogram of 100 observations each 30 s; so many of them are within the bound."""
    comma = "," if labels else ""
    return Case({f'{name}_bucket{{le="{bound}"{comma}{labels}}}': (f"0+{bad}x60", f"0+{good}x60"),
                 f'{name}_bucket{{le="9"{comma}{labels}}}': "0+100x60",
                 f'{name}_bucket{{le="+Inf"{comma}{labels}}}': "0+100x60"})


def errors_of(bad, good, step="30s", at="25m"):
    """Requests of the application; so many of 10,000 fail."""
    name = 'finai_http_requests_total{route="/api/quotes",status="%s"}'
    return Case({name % 500: (f"0+{bad}x100", f"0+{good}x100"),
                 name % 200: (f"0+{10000 - bad}x100", f"0+{10000 - good}x100"),
                 'finai_http_requests_total{route="other",status="503"}': "0+10000x100"}, step, at)


def down(labels):
    return flat("up{" + labels + "}", 0, 1)


def hits(local, misses, bad, good):
    """Hits and misses, so many of a hundred look-ups."""
    return Case({local: (f"0+{bad}x60", f"0+{good}x60"), misses: (f"0+{100 - bad}x60", f"0+{100 - good}x60")})


JOBS = ("pgweir/pgweir", "data/patroni", "data/etcd", "postgres-exporter", "cache/redis-cluster", "apps/backend")
SET = '{namespace="mongodb",statefulset="shard-a"}'

CASES = {
    # k8s/monitoring/alerting-rules.yaml
    "AvailabilityBurnFast": errors_of(145, 143),
    "AvailabilityBurnSlow": errors_of(61, 59, "5m", "8h"),
    "ApiSlow": buckets("finai_http_request_duration_seconds", "0.1", 94, 96, 'route="/api/quotes"'),
    "QuerySlow": buckets("pgweir_query_seconds", "0.05", 94, 96),
    "CacheHitRateLow": Case({
        "pgweir_cache_hits_local_total": ("0+44x60", "0+46x60"), "pgweir_cache_hits_redis_total": "0+45x60",
        "pgweir_cache_misses_total": ("0+11x60", "0+9x60")}),
    "BackendDown": down('job="apps/backend"'),
    "BackendDatabaseErrors": Case({'finai_db_errors_total{sqlstate="57P01"}': ("0+11x60", "0+9x60"),
                                   "finai_http_requests_total": "0+1000x60"}),
    "BackendPoolExhausted": rising("finai_db_queue_refused_total", 1, 0),
    "TransfersFail": Case({'finai_transfers_total{result="failed"}': ("0+6x60", "0+4x60"),
                           'finai_transfers_total{result="done"}': ("0+94x60", "0+96x60")}),
    "IngressReloadFails": flat("nginx_ingress_controller_nginx_last_reload_status", 0, 1),
    "PgweirDown": down('job="pgweir/pgweir"'),
    "PgweirNoPrimary": flat('pgweir_node_is_primary{cluster="main",pod="a",node="n"}', 0, 1),
    "PgweirFailoverTimeouts": rising("pgweir_failover_timeouts_total", 1, 0),
    "PgweirFailoverHappened": Case({"pgweir_node_timeline": ("1x40 2x20", "1x60")}),
    "PgweirNodeDown": flat("pgweir_node_up", 0, 1),
    "PgweirNodeEjected": flat("pgweir_node_ejected", 1, 0),
    "PgweirReplicaLag": flat("pgweir_node_lag_bytes", 67108865, 67108864),
    "PgweirClientsWaiting": Case({"pgweir_clients_waiting": "1x60", "pgweir_servers_idle": ("0x60", "1x60")}),
    "PgweirWaitLong": buckets("pgweir_wait_seconds", "0.05", 94, 96),
    "PgweirClientLimitNear": Case({"pgweir_clients": ("901x60", "900x60"), "pgweir_max_clients": "1000x60"}),
    "PgweirRedisBreakerOpen": flat("pgweir_cache_breaker_open", 1, 0),
    "PgweirServerConnectFailures": rising("pgweir_server_connection_failures_total", 31, 29),
    "PatroniNoLeader": flat('patroni_primary{scope="finai"}', 0, 1),
    "PatroniPostgresDown": flat("patroni_postgres_running", 0, 1),
    "PatroniPaused": slow({"patroni_is_paused": ("1x100", "0x100")}),
    "PatroniPendingRestart": slow({"patroni_pending_restart": ("1x100", "0x100")}),
    # time() begins at 0 in a test: last seen 61 s ago, or 60 s.
    "PatroniDcsUnseen": Case({"patroni_dcs_last_seen": ("-61+30x60", "-60+30x60")}),
    "EtcdNoLeader": flat("etcd_server_has_leader", 0, 1),
    "EtcdMemberDown": down('job="data/etcd"'),
    "EtcdDiskSlow": buckets("etcd_disk_wal_fsync_duration_seconds", "0.5", 98, 99.5, 'pod="etcd-0"'),
    "EtcdSpaceNearLimit": Case({"etcd_mvcc_db_total_size_in_bytes": ("801x60", "800x60"),
                                "etcd_server_quota_backend_bytes": "1000x60"}),
    # increase() counts the hour as a whole: 5 changes within 24 minutes, or one.
    "EtcdLeaderChanges": Case({"etcd_server_leader_changes_seen_total": ("0x10 1+1x40", "0x30 1x30")}),
    "HpaMaxed": Case({'kube_horizontalpodautoscaler_status_current_replicas{namespace="a",horizontalpodautoscaler="b"}':
                      ("6x60", "5x60"),
                      'kube_horizontalpodautoscaler_spec_max_replicas{namespace="a",horizontalpodautoscaler="b"}':
                      "6x60"}),
    "HpaCannotScale": flat('kube_horizontalpodautoscaler_status_condition{condition="ScalingActive",status="false"}',
                           1, 0),
    "QuotaNearFull": Case({'kube_resourcequota{type="used",resource="pods"}': ("91x60", "90x60"),
                           'kube_resourcequota{type="hard",resource="pods"}': "100x60"}),
    # Four days are 1152 steps of 5 minutes; an hour before the look, at step 84, 1151 were left.
    "VolumeFullInFourDays": slow({"kubelet_volume_stats_available_bytes": ("1235-1x100", "1260-1x100")}),
    "VolumeNearlyFull": Case({"kubelet_volume_stats_available_bytes": ("9x60", "10x60"),
                              "kubelet_volume_stats_capacity_bytes": "100x60"}),
    "PodsPending": flat('kube_pod_status_phase{phase="Pending"}', 1, 0),
    "PodCrashLoops": Case({"kube_pod_container_status_restarts_total": ("0x30 1+1x30", "0x45 1 2x14")}),
    "PodsMissing": Case({'kube_statefulset_status_replicas_ready{namespace="a",statefulset="b"}': ("2x60", "3x60"),
                         'kube_statefulset_replicas{namespace="a",statefulset="b"}': "3x60"}),
    "BackupStale": Case({'kube_cronjob_status_last_successful_time{namespace="data",cronjob="pgbackrest-diff"}':
                         ("-129600x60", "-126000x60")}),
    "Watchdog": Case({"up": "1x60"}),
    "TargetDown": down('job="any"'),
    "MetricsAbsent": Case({'up{job="%s"}' % job: "1x60" if number else ("_x60", "1x60")
                           for number, job in enumerate(JOBS)}),
    "PrometheusRulesFail": rising("prometheus_rule_evaluation_failures_total", 1, 0),
    "PrometheusConfigFails": flat("prometheus_config_last_reload_successful", 0, 1),
    "PrometheusNoAlertmanager": flat("prometheus_notifications_alertmanagers_discovered", 0, 1),
    "PrometheusNotifyFails": Case({"prometheus_notifications_errors_total": ("0+11x60", "0+9x60"),
                                   "prometheus_notifications_sent_total": "0+1000x60"}),
    "AlertmanagerNotifyFails": rising("alertmanager_notifications_failed_total", 1, 0),
    "AlertmanagerConfigFails": flat("alertmanager_config_last_reload_successful", 0, 1),
    # k8s/postgres/performance-monitoring.yaml
    "PostgresExporterDown": down('job="postgres-exporter"'),
    "PostgresExporterFails": flat("pg_exporter_last_scrape_error", 1, 0),
    "PostgresUnreachable": flat("pg_up", 0, 1),
    "PostgresConnectionsNearLimit": Case({"pg_connections_used": ("81x60", "80x60"), "pg_connections_max": "100x60"}),
    "PostgresLongTransaction": flat("pg_transactions_oldest_seconds", 601, 600),
    "PostgresIdleTransaction": flat("pg_transactions_idle_seconds", 121, 120),
    "PostgresVacuumHeldBack": flat("pg_transactions_oldest_xmin_age", 10000001, 10000000),
    "PostgresDeadTuples": slow({"pg_tables_dead_tuples": ("200001x100", "200000x100"),
                                "pg_tables_live_tuples": "1000000x100"}),
    "PostgresWraparoundNear": flat("pg_wraparound_xid_age", 1000000001, 1000000000),
    "PostgresReplicaNotStreaming": Case({"pg_replay_is_replica": "1x60", "pg_replay_streaming": ("0x60", "1x60")}),
    "PostgresReplayLag": flat("pg_replay_lag_seconds", 31, 30),
    "PostgresDeadlocks": rising('pg_stat_database_deadlocks{member="a",datname="b"}', 1, 0.1),
    "PostgresArchiverFails": rising("pg_stat_archiver_failed_count", 1, 0),
    "PostgresSlotInactive": Case({'pg_slots_active{member="a",slot_name="b"}': "0x60",
                                  'pg_replay_is_replica{member="a"}': ("0x60", "1x60")}),
    "PostgresSlotRetainsWal": flat("pg_slots_retained_bytes", 10737418241, 10737418240),
    "PostgresSlotLost": flat("pg_slots_lost", 1, 0),
    "PostgresStatementSlow": Case({'pg_statements_seconds_total{queryid="1",datname="b"}': ("0+5.1x60", "0+4.9x60"),
                                   'pg_statements_calls_total{queryid="1",datname="b"}': "0+100x60"}),
    # k8s/redis/redis-monitoring.yaml
    "RedisDown": flat("redis_up", 0, 1),
    "RedisExporterDown": down('job="cache/redis-cluster"'),
    "RedisClusterDown": flat("redis_cluster_state", 0, 1),
    "RedisMemoryHigh": Case({"redis_memory_used_bytes": ("951x60", "950x60"), "redis_memory_max_bytes": "1000x60"}),
    "RedisEvictions": rising("redis_evicted_keys_total", 3030, 2970),
    "RedisHitRateLow": hits("redis_keyspace_hits_total", "redis_keyspace_misses_total", 89, 91),
    "RedisFailover": Case({"redis_connected_slaves": ("1x40 0 1x19", "1x60")}),
    "RedisReplicaLinkDown": flat("redis_master_link_up", 0, 1),
    "RedisRejectsConnections": rising("redis_rejected_connections_total", 1, 0),
    # k8s/mongodb/mongodb-monitoring.yaml
    "MongodbExporterDown": down('job="mongodb-exporter"'),
    "MongodbDown": flat("mongodb_up", 0, 1),
    "MongodbConnectionsNearLimit": Case({'mongodb_ss_connections{conn_type="current"}': ("81x60", "80x60"),
                                         'mongodb_ss_connections{conn_type="available"}': ("19x60", "20x60")}),
    "MongodbMemberMissing": Case({"kube_statefulset_status_replicas_ready" + SET: ("1x60", "2x60"),
                                  "kube_statefulset_replicas" + SET: "3x60"}),
}
