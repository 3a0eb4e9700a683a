/* SPDX-License-Identifier: PostgreSQL */
/*
 * What PAUSE, DISABLE and their ends leave: "own/effective", P paused, D disabled.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "config/config.h"
#include "proxy/gate.h"

static const char *state(const struct gates *g, const char *database)
{
	static char out[16];
	struct gate_state own = gates_own(g, database), all = gates_of(g, database);

	snprintf(out, sizeof(out), "%s%s/%s%s", own.is_paused ? "P" : "", own.is_disabled ? "D" : "",
	         all.is_paused ? "P" : "", all.is_disabled ? "D" : "");
	return out;
}

static void set(struct gates *g, const char *database, bool is_paused, bool is_disabled)
{
	gates_set(g, database,
	          (struct gate_state){ .is_paused = is_paused, .is_disabled = is_disabled });
}

Test(gate, per_database)
{
	struct gates g;

	gates_init(&g);
	cr_expect_str_eq(state(&g, "a"), "/");
	set(&g, "a", true, false);
	set(&g, "b", false, true);
	cr_expect_str_eq(state(&g, "a"), "P/P");
	cr_expect_str_eq(state(&g, "b"), "D/D");
	cr_expect_str_eq(state(&g, "c"), "/");
	set(&g, "a", true, true);
	cr_expect_str_eq(state(&g, "a"), "PD/PD");
	set(&g, "a", false, false);
	cr_expect_str_eq(state(&g, "a"), "/");
	cr_expect_eq(g.databases.count, 1, "an open one isn't kept");
	gates_fini(&g);
	cr_expect_eq(g.databases.count, 0);
}

Test(gate, what_the_configuration_has_not_is_forgotten)
{
	struct config_error err;
	struct config *cfg = config_load_text("[databases]\na = host=h\n", &err);
	struct gates g;

	gates_init(&g);
	set(&g, "", true, false);
	set(&g, "a", true, false);
	set(&g, "b", false, true);
	cr_expect(gates_keep(&g, cfg));
	cr_expect(!gates_keep(&g, cfg));
	cr_expect_str_eq(state(&g, "a"), "P/P");
	cr_expect_str_eq(state(&g, "b"), "/P");
	gates_fini(&g);
	config_put(&cfg);
}

Test(gate, of_all)
{
	struct gates g;

	gates_init(&g);
	set(&g, "", true, false);
	set(&g, "a", false, true);
	cr_expect_str_eq(state(&g, ""), "P/P");
	cr_expect_str_eq(state(&g, "a"), "D/PD");
	cr_expect_str_eq(state(&g, "b"), "/P");
	set(&g, "", false, false);
	cr_expect_str_eq(state(&g, "b"), "/");
	gates_fini(&g);
}

Test(gate, resume_all)
{
	struct gates g;

	gates_init(&g);
	cr_expect(!gates_resume_all(&g));
	set(&g, "a", true, false);
	set(&g, "b", true, true);
	cr_expect(gates_resume_all(&g));
	cr_expect_str_eq(state(&g, "a"), "/");
	cr_expect_str_eq(state(&g, "b"), "D/D", "DISABLE stays");
	cr_expect(!gates_resume_all(&g));
	set(&g, "", true, false);
	cr_expect(gates_resume_all(&g));
	cr_expect_str_eq(state(&g, "a"), "/");
	gates_fini(&g);
}
