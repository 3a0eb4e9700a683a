# SPDX-License-Identifier: PostgreSQL
"""What PgBouncer 1.26 documents, as tables: settings with their defaults, columns in wire order.

pgweir's answers are compared with these, and with a PgBouncer that runs beside it where that one
is old enough to have no more.
"""

# Where pgweir's default is another one, and why.
OTHER_DEFAULTS = {
    "pool_mode": "transaction",    # what session pooling is needed for pins its client here
    "job_name": "pgweir", "service_name": "pgweir", "syslog_ident": "pgweir",    # its own name
    "auth_query":    # the same, not to be misled by a search_path
        "SELECT rolname, CASE WHEN rolvaliduntil < pg_catalog.now() THEN NULL ELSE rolpassword END "
        "FROM pg_catalog.pg_authid WHERE rolname=$1 AND rolcanlogin",
}

# name, default; those with a star need a restart in PgBouncer
SETTINGS = """
logfile
pidfile*
listen_addr*
listen_port* 6432
listen_backlog* 128
unix_socket_dir* /tmp
unix_socket_mode* 0777
unix_socket_group*
user*
job_name* pgbouncer
service_name* pgbouncer
conffile
resolv_conf*
pool_mode session
max_client_conn 100
default_pool_size 20
min_pool_size 0
reserve_pool_size 0
reserve_pool_timeout 5
max_db_connections 0
max_user_connections 0
max_db_client_connections 0
max_user_client_connections 0
server_round_robin 0
track_extra_parameters* IntervalStyle
ignore_startup_parameters
peer_id 0
disable_pqexec* 0
application_name_add_host 0
stats_period 60
max_prepared_statements 200
scram_iterations 4096
pool_idle_timeout 0
login_notify_message
auth_type md5
auth_file
auth_hba_file
auth_ident_file
auth_user
auth_dbname
auth_query SELECT rolname, CASE WHEN rolvaliduntil < now() THEN NULL ELSE rolpassword END
auth_ldap_options
syslog 0
syslog_ident pgbouncer
syslog_facility daemon
log_connections 1
log_disconnections 1
log_pooler_errors 1
log_stats 1
verbose 0
admin_users
stats_users
server_reset_query DISCARD ALL
server_reset_query_always 0
server_check_query <empty>
server_check_delay 30
server_fast_close 0
server_lifetime 3600
server_idle_timeout 600
server_connect_timeout 15
server_login_retry 15
client_login_timeout 60
autodb_idle_timeout 3600
dns_max_ttl 15
dns_nxdomain_ttl 15
dns_zone_check_period 0
query_wait_notify 5
query_timeout 0
query_wait_timeout 120
cancel_wait_timeout 10
client_idle_timeout 0
idle_transaction_timeout 0
transaction_timeout 0
suspend_timeout 10
pkt_buf* 4096
max_packet_size 2147483647
sbuf_loopcnt 5
so_reuseport* 0
tcp_defer_accept 1
tcp_socket_buffer 0
tcp_keepalive 1
tcp_keepcnt 0
tcp_keepidle 0
tcp_keepintvl 0
tcp_user_timeout 0
client_tls_sslmode disable
server_tls_sslmode prefer
client_tls_key_file
client_tls_cert_file
client_tls_ca_file
server_tls_key_file
server_tls_cert_file
server_tls_ca_file
client_tls_protocols secure
server_tls_protocols secure
client_tls_ciphers default
server_tls_ciphers default
client_tls13_ciphers
server_tls13_ciphers
client_tls_ecdhcurve auto
client_tls_dheparams auto
"""

# Of each setting, the test that fails when it is ignored.
TESTED = """
logfile habits::reload_moves_and_reopens_the_log
pidfile habits::pidfile
listen_addr replace::listening
listen_port replace::several_processes_on_one_port
listen_backlog effects::listen_backlog
unix_socket_dir replace::listening
unix_socket_mode replace::listening
unix_socket_group replace::listening
user habits::daemon_mode
job_name no_effect
service_name no_effect
conffile replace::conffile
resolv_conf no_effect
pool_mode pools::session_mode
max_client_conn login::too_many_clients
default_pool_size pools::pool_size_is_exact
min_pool_size settings::min_pool_size
reserve_pool_size settings::reserve_pool
reserve_pool_timeout settings::reserve_pool
max_db_connections pools::max_db_connections
max_user_connections habits::max_user_connections
max_db_client_connections settings::limits_of_clients
max_user_client_connections settings::limits_of_clients
server_round_robin replace::order_of_servers
track_extra_parameters no_effect
ignore_startup_parameters effects::ignore_startup_parameters
peer_id no_effect
disable_pqexec settings::disable_pqexec
application_name_add_host settings::application_name_add_host
stats_period habits::stats_line
max_prepared_statements effects::max_prepared_statements
scram_iterations effects::scram_iterations
pool_idle_timeout habits::unused_pools_are_forgotten
login_notify_message settings::login_notice_is_a_message
auth_type auth::auth_query_by_method
auth_file auth::auth_query
auth_hba_file auth::peer
auth_ident_file auth::peer
auth_user auth::auth_query_of_ones_own
auth_dbname auth::auth_query_of_ones_own
auth_query auth::auth_query
auth_ldap_options no_effect
syslog outside::syslog
syslog_ident outside::syslog
syslog_facility outside::syslog
log_connections replace::log_switches
log_disconnections replace::log_switches
log_pooler_errors habits::log_settings
log_stats replace::log_switches
verbose habits::log_settings
admin_users habits::every_command_by_role
stats_users beside::who_may_say_what
server_reset_query settings::server_reset_query_always
server_reset_query_always settings::server_reset_query_always
server_check_query habits::server_check_query
server_check_delay habits::server_check_query
server_fast_close habits::server_fast_close
server_lifetime pools::server_lifetime
server_idle_timeout pools::server_idle_timeout
server_connect_timeout habits::server_connect_timeout
server_login_retry habits::server_login_retry
client_login_timeout habits::client_login_timeout
autodb_idle_timeout habits::unused_pools_are_forgotten
dns_max_ttl dns::dns_max_ttl
dns_nxdomain_ttl dns::dns_nxdomain_ttl
dns_zone_check_period dns::another_address_retires_old_connections
query_wait_notify settings::notices
query_timeout pools::query_timeout
query_wait_timeout pools::query_wait_timeout
cancel_wait_timeout outside::cancel_wait_timeout
client_idle_timeout pools::client_idle_timeout
idle_transaction_timeout pools::idle_transaction_timeout
transaction_timeout habits::transaction_timeout
suspend_timeout no_effect
pkt_buf no_effect
max_packet_size messages::max_packet_size
sbuf_loopcnt no_effect
so_reuseport replace::several_processes_on_one_port
tcp_defer_accept outside::tcp_defer_accept
tcp_socket_buffer effects::socket_options
tcp_keepalive replace::keepalive
tcp_keepcnt effects::socket_options
tcp_keepidle effects::socket_options
tcp_keepintvl effects::socket_options
tcp_user_timeout effects::socket_options
client_tls_sslmode tls::tls
server_tls_sslmode tls::a_server_that_is_not_trusted
client_tls_key_file tls::tls
client_tls_cert_file tls::tls
client_tls_ca_file auth::certificates
server_tls_key_file effects::tls_to_servers
server_tls_cert_file effects::tls_to_servers
server_tls_ca_file tls::a_server_that_is_not_trusted
client_tls_protocols effects::tls_of_clients
server_tls_protocols effects::tls_to_servers
client_tls_ciphers effects::tls_of_clients
server_tls_ciphers effects::tls_to_servers
client_tls13_ciphers effects::tls_of_clients
server_tls13_ciphers effects::tls_to_servers
client_tls_ecdhcurve effects::tls_of_clients
client_tls_dheparams no_effect
"""

DATABASE_KEYS = {
    "dbname": "app", "host": "127.0.0.1", "port": "5432", "user": "app", "password": "x",
    "auth_user": "a", "auth_query": "'SELECT usename, passwd FROM f($1)'", "auth_dbname": "app",
    "pool_size": "3", "min_pool_size": "1", "reserve_pool_size": "1", "reserve_pool": "1",
    "max_db_connections": "9", "max_db_client_connections": "9", "server_lifetime": "60",
    "query_wait_timeout": "5", "load_balance_hosts": "round-robin", "pool_mode": "session",
    "connect_query": "'SELECT 1'", "client_encoding": "UTF8", "datestyle": "ISO",
    "timezone": "UTC", "application_name": "x",
}
USER_KEYS = {
    "pool_mode": "session", "pool_size": "3", "reserve_pool_size": "1",
    "max_user_connections": "9", "max_user_client_connections": "9", "query_timeout": "5",
    "query_wait_timeout": "5", "idle_transaction_timeout": "5", "transaction_timeout": "5",
    "client_idle_timeout": "5",
}
PEER_KEYS = {"host": "10.0.0.2", "port": "6432", "pool_size": "3"}

CONN = ("type user database replication state addr port:i local_addr local_port:i connect_time "
        "request_time wait:i wait_us:i close_needed:i ptr link remote_pid:i tls application_name "
        "prepared_statements:i id:b")
STAT = ("server_assignment_count xact_count query_count {received} {sent} xact_time query_time "
        "wait_time {p}client_parse_count {p}server_parse_count {p}bind_count {p}client_login_count")


def stat_columns(prefix, received, sent, last_prefix=""):
    names = STAT.format(received=received, sent=sent, p=last_prefix).split()
    return " ".join(f"{prefix}{name}:n" for name in names)


# Columns that PgBouncer has, in wire order; behind a colon the type: i int4, n numeric, b int8,
# none text. What pgweir adds stands behind them.
COLUMNS = {
    "POOLS": "database user cl_active:i cl_waiting:i cl_active_cancel_req:i "
             "cl_waiting_cancel_req:i sv_active:i sv_active_cancel:i sv_being_canceled:i "
             "sv_idle:i sv_used:i sv_tested:i sv_login:i maxwait:i maxwait_us:i pool_mode "
             "load_balance_hosts",
    "PEER_POOLS": "peer_id:i cl_active_cancel_req:i cl_waiting_cancel_req:i sv_active_cancel:i "
                  "sv_login:i",
    "PEERS": "peer_id:i host port:i pool_size:i",
    "STATS": "database " + stat_columns("total_", "received", "sent") + " " +
             stat_columns("avg_", "recv", "sent"),
    "STATS_TOTALS": "database " + stat_columns("", "bytes_received", "bytes_sent"),
    "STATS_AVERAGES": "database " + stat_columns("", "bytes_received", "bytes_sent", "avg_"),
    "TOTALS": "name value:n",
    "CLIENTS": CONN, "SERVERS": CONN,
    "SOCKETS": CONN + " recv_pos:i pkt_pos:i pkt_remain:i send_pos:i send_remain:i pkt_avail:i "
                      "send_avail:i",
    "DATABASES": "name host port:i database force_user pool_size:i min_pool_size:i "
                 "reserve_pool_size:i server_lifetime:i pool_mode load_balance_hosts "
                 "max_connections:i current_connections:i max_client_connections:i "
                 "current_client_connections:i paused:i disabled:i",
    "USERS": "name pool_size:i reserve_pool_size:i pool_mode max_user_connections:i "
             "current_connections:i max_user_client_connections:i current_client_connections:i",
    "LISTS": "list items:i",
    "CONFIG": "key value default changeable",
    "MEM": "name size:i used:i free:i memtotal:b",    # PgBouncer's int4 ends at 2 GB
    "STATE": "key value",
    "DNS_HOSTS": "hostname ttl:b addrs",
    "DNS_ZONES": "zonename serial:b count:i",
    "VERSION": "version",
}
COLUMNS["ACTIVE_SOCKETS"] = COLUMNS["SOCKETS"]
TYPES = {"i": 23, "n": 1700, "b": 20, "": 25}

LISTS = ("databases users peers pools peer_pools free_clients used_clients login_clients "
         "free_servers used_servers dns_names dns_zones dns_queries dns_pending").split()


def settings():
    """(name, default, needs a restart in PgBouncer)"""
    for line in SETTINGS.strip().splitlines():
        name, _, default = line.partition(" ")
        yield name.rstrip("*"), default, name.endswith("*")


def columns(what):
    """[(name, type OID or None)]"""
    pairs = [c.partition(":")[::2] for c in COLUMNS[what].split()]
    return [(name, TYPES[kind]) for name, kind in pairs]
