/* SPDX-License-Identifier: PostgreSQL */
/*
 * SHOW DNS_HOSTS: the names that workers look up, servers' and Redis'. Zones
 * aren't known, so SHOW DNS_ZONES has no rows.
 */
#include "admin/command.h"
#include "admin/names.h"
#include "admin/result.h"
#include "base/mem.h"
#include "net/socket.h"

enum { ADDRESS_MAX = 64, ADDRESSES_BYTES_MAX = RESOLVED_MAX * (ADDRESS_MAX + 1) };

static void put_addresses(struct buf *out, const struct resolved *r)
{
	char address[ADDRESS_MAX];
	uint16_t port;

	for (unsigned i = 0; i < r->count; i++) {
		socket_name(&r->at[i].addr, address, sizeof(address), &port);
		buf_appendf(out, "%s%s:%u", i ? "," : "", address, port);
	}
}

static void host_row(struct result *r, const struct resolver_host *host, struct buf *addresses)
{
	buf_clear(addresses);
	put_addresses(addresses, &host->resolved);
	result_text(r, host->name);
	result_number(r, host->ttl_us / 1000000);
	result_slice(r, addresses->len ? buf_slice(addresses) : slice_str(""));
	result_row(r);
}

static struct resolver_host *hosts_take(const struct show *s, size_t *count)
{
	*count = 0;
	return s->source->hosts ? s->source->hosts(s->source->ctx, count) : NULL;
}

void show_dns_hosts(struct show *s)
{
	static const struct build_column columns[] = { COLUMN_TEXT("hostname"), COLUMN_BIG("ttl"),
		                                           COLUMN_TEXT("addrs") };
	size_t count;
	struct resolver_host *hosts = hosts_take(s, &count);
	struct buf addresses;
	struct result r;

	buf_init(&addresses, ADDRESSES_BYTES_MAX);
	RESULT_BEGIN(&r, s->out, columns);
	for (size_t i = 0; i < count; i++)
		host_row(&r, &hosts[i], &addresses);
	result_end(&r, "SHOW");
	buf_fini(&addresses);
	mem_free(hosts);
}

struct host_counts hosts_count(const struct show *s)
{
	struct host_counts counts = { 0 };
	struct resolver_host *hosts = hosts_take(s, &counts.names);

	for (size_t i = 0; i < counts.names; i++)
		counts.pending += hosts[i].is_pending;
	mem_free(hosts);
	return counts;
}
