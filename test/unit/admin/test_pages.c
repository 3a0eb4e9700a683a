/* SPDX-License-Identifier: PostgreSQL */
/*
 * The HTTP pages.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "fake.h"

static const char ini[] = "[clusters]\nmain = patroni=http://x:1 password=hush2\n"
						  "[databases]\nshop = cluster=main\n";

static char body[400000];
static const char *type;

static int page(struct fake *f, const char *path)
{
	struct buf out;
	int status;

	buf_init(&out, sizeof(body) - 1);
	status = admin_page(f->admin, path, &out, &type);
	cr_assert_eq(out.err, WEIR_OK);
	snprintf(body, sizeof(body), "%.*s", (int)out.len, out.data ? out.data : "");
	buf_fini(&out);
	return status;
}

Test(pages, metrics)
{
	struct fake f;

	fake_init(&f, ini);
	metrics_add(metrics_block(f.metrics, 1), METRIC_CLIENTS_ACCEPTED, 3);
	cr_expect_eq(page(&f, "/metrics"), 200);
	cr_expect_str_eq(type, "text/plain; version=0.0.4; charset=utf-8");
	cr_expect_not_null(strstr(body, "\npgweir_client_connections_total 3\n"));
	cr_expect_not_null(strstr(body, "\npgweir_node_lag_bytes{cluster=\"main\",node=\"n2\"} 77\n"));
	cr_expect_not_null(strstr(body, "\npgweir_cache_hits_local_total 7\n"));
	cr_expect_null(strstr(body, "hush"));
	fake_fini(&f);
}

/* Each line of the page is a comment or "name{labels} number", and no name has two heads. */
Test(pages, metrics_are_well_formed)
{
	struct fake f;
	char *save = NULL, *copy;

	fake_init(&f, ini);
	page(&f, "/metrics");
	copy = strdup(body);
	for (char *line = strtok_r(body, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char head[200];

		if (strncmp(line, "# TYPE ", 7) == 0) {
			snprintf(head, sizeof(head), "%.*s ", (int)(7 + strcspn(line + 7, " ")), line);
			cr_expect_eq(strstr(strstr(copy, head) + 1, head), NULL, "%s twice", head);
		} else if (line[0] != '#') {
			cr_expect(strncmp(line, "pgweir_", 7) == 0, "%s", line);
			cr_expect(strspn(strrchr(line, ' ') + 1, "0123456789.") ==
			              strlen(strrchr(line, ' ') + 1),
			          "%s", line);
		}
	}
	free(copy);
	fake_fini(&f);
}

Test(pages, health_dashboard_and_none)
{
	struct fake f;

	fake_init(&f, ini);
	cr_expect_eq(page(&f, "/healthz"), 200);
	cr_expect_str_eq(body, "ok\n");
	cr_expect_eq(page(&f, "/"), 200);
	cr_expect_not_null(strstr(body, "<td class=\"t \">n2</td>"));
	cr_expect_eq(page(&f, "/nope"), 404);
	fake_fini(&f);
}

Test(pages, dashboard_escapes)
{
	struct fake f;

	fake_init(&f, ini);
	snprintf(f.topology.nodes[0].name, NODE_NAME_MAX, "<b>&\"");
	page(&f, "/");
	cr_expect_not_null(strstr(body, "&lt;b&gt;&amp;&quot;"));
	cr_expect_null(strstr(body, "<b>"));
	fake_fini(&f);
}

Test(pages, ready)
{
	struct fake f;

	fake_init(&f, ini);
	cr_expect_eq(page(&f, "/readyz"), 200);
	cr_expect_str_eq(body, "{\"ready\":true,\"reasons\":[]}\n");
	cr_expect_str_eq(type, "application/json");
	f.is_accepting = false;
	cr_expect_eq(page(&f, "/readyz"), 503);
	cr_expect_str_eq(body, "{\"ready\":false,\"reasons\":[\"no new clients are accepted\"]}\n");
	fake_fini(&f);
}

Test(pages, not_ready_before_the_first_primary)
{
	struct fake f;

	fake_init(&f, ini);
	f.topology.primary = -1;
	cr_expect_eq(page(&f, "/readyz"), 503);
	cr_expect_str_eq(body, "{\"ready\":false,\"reasons\":[\"cluster main has no primary\"]}\n");
	fake_fini(&f);
}
