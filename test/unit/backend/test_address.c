/* SPDX-License-Identifier: PostgreSQL */
/* DATABASE_URL: what libpq gets, which name is looked up, and refusals without the password. */
#include "backend/address.h"

#include <criterion/criterion.h>

#include <string.h>

static struct address a;
static char why[256];

static const char *value_of(const char *name, const char *hostaddr)
{
	static const char *names[ADDRESS_PARAMS_MAX + 2], *values[ADDRESS_PARAMS_MAX + 2];
	const char *found = NULL;

	address_fill(&a, hostaddr, names, values);
	for (int i = 0; names[i]; i++) {
		if (strcmp(names[i], name) == 0)
			found = values[i]; /* of two, libpq takes the later */
	}
	return found;
}

Test(address, a_name_is_looked_up_and_kept_for_tls)
{
	cr_assert_eq(address_init(&a, "postgresql://u:p@db.example:6432/finai?sslmode=require", 8000,
	                          why, sizeof why),
	             0);
	cr_assert_str_eq(a.host, "db.example");
	cr_assert_str_eq(value_of("host", "10.0.0.1"), "db.example");
	cr_assert_str_eq(value_of("hostaddr", "10.0.0.1"), "10.0.0.1");
	cr_assert_str_eq(value_of("port", NULL), "6432");
	cr_assert_str_eq(value_of("sslmode", NULL), "require");
	cr_assert_str_eq(value_of("password", NULL), "p");
	cr_assert_null(value_of("hostaddr", NULL));
	address_fini(&a);
}

Test(address, numbers_and_sockets_need_no_look_up)
{
	static const char *const urls[] = { "postgresql://u@127.0.0.1/d", "postgresql://u@[::1]:5/d",
		                                "host=/run/postgresql dbname=d", "postgresql:///d" };

	for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
		cr_assert_eq(address_init(&a, urls[i], 8000, why, sizeof why), 0, "%s", urls[i]);
		cr_assert_null(a.host, "%s", urls[i]);
		address_fini(&a);
	}
}

Test(address, every_session_has_its_bounds)
{
	cr_assert_eq(address_init(&a, "postgresql://u@127.0.0.1/d?options=-c%20work_mem%3D5MB", 8000,
	                          why, sizeof why),
	             0);
	cr_assert(strstr(value_of("options", NULL), "statement_timeout=8000 "));
	cr_assert(strstr(value_of("options", NULL), "lock_timeout=4000 "));
	cr_assert(strstr(value_of("options", NULL), "TimeZone=UTC "));
	cr_assert(strstr(value_of("options", NULL), "-c work_mem=5MB"));
	cr_assert_str_eq(value_of("client_encoding", NULL), "UTF8");
	address_fini(&a);
}

Test(address, what_is_refused)
{
	static const char *const bad[] = { "postgresql://u:secret@a,b/d", "host=a,b password=secret",
		                               "postgresql://u:secret@h/d?nonsense=1",
		                               "password=secret no" };

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		cr_assert_lt(address_init(&a, bad[i], 8000, why, sizeof why), 0, "%s was taken", bad[i]);
		cr_assert(strstr(why, "DATABASE_URL"), "%s", why);
		cr_assert_null(strstr(why, "secret"), "%s", why);
		address_fini(&a);
	}
}
