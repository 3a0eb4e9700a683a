/* SPDX-License-Identifier: PostgreSQL */
/* Users that don't exist look like those that do, as often as each of them. */
#include "auth/secret_shape.h"

#include "auth/client_login.h"

#include <criterion/criterion.h>

#define MD5 "md50123456789abcdef0123456789abcdef"
#define KEY "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define SCRAM "SCRAM-SHA-256$4096:AAAAAAAAAAAAAAAAAAAAAA==$" KEY ":" KEY
#define LONG_SCRAM "SCRAM-SHA-256$9000:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA$" KEY ":" KEY

static void expect(struct secret_shape s, enum secret_kind kind, unsigned iterations, size_t salt)
{
	cr_assert(s.kind == kind && s.iterations == iterations && s.salt_len == salt, "%d %u %u",
	          (int)s.kind, (unsigned)s.iterations, (unsigned)s.salt_len);
}

Test(secret_shape, of_a_secret)
{
	expect(secret_shape_of(slice_str("")), SECRET_NONE, 0, 0);
	expect(secret_shape_of(slice_str("x")), SECRET_PLAIN, 0, 0);
	expect(secret_shape_of(slice_str(MD5)), SECRET_MD5, 0, 0);
	expect(secret_shape_of(slice_str(SCRAM)), SECRET_SCRAM, 4096, 16);
	expect(secret_shape_of(slice_str(LONG_SCRAM)), SECRET_SCRAM, 9000, 30);
}

Test(secret_shape, a_census_gives_each_its_share)
{
	struct shape_census census = { 0 };
	unsigned count[2] = { 0 };

	expect(shape_census_pick(&census, 5), SECRET_NONE, 0, 0);
	for (int i = 0; i < 3; i++)
		shape_census_add(&census, secret_shape_of(slice_str(SCRAM)));
	shape_census_add(&census, secret_shape_of(slice_str(LONG_SCRAM)));
	shape_census_add(&census, secret_shape_of(slice_str("")));
	for (uint64_t n = 0; n < 40; n++)
		count[shape_census_pick(&census, n).iterations == 9000]++;
	cr_assert(count[0] == 30 && count[1] == 10);
	shape_census_remove(&census, secret_shape_of(slice_str(LONG_SCRAM)));
	for (uint64_t n = 0; n < 40; n++)
		expect(shape_census_pick(&census, n), SECRET_SCRAM, 4096, 16);
	for (unsigned i = 0; i < 2 * SHAPES_MAX; i++) /* more than there is room for */
		shape_census_add(&census, (struct secret_shape){ SECRET_SCRAM, 5000 + i, 16 });
	cr_assert_eq(shape_census_pick(&census, census.total - 1).kind, SECRET_SCRAM);
}

Test(secret_shape, a_sample_is_of_its_place)
{
	static struct shape_sample sample;
	struct slice here = slice_str("here");

	expect(shape_sample_pick(&sample, here, 3), SECRET_NONE, 0, 0);
	shape_sample_note(&sample, here, slice_str("joe"), secret_shape_of(slice_str("")));
	expect(shape_sample_pick(&sample, here, 3), SECRET_NONE, 0, 0);
	shape_sample_note(&sample, here, slice_str("joe"), secret_shape_of(slice_str(LONG_SCRAM)));
	for (uint64_t n = 0; n < 2 * SHAPE_SLOTS; n++)
		expect(shape_sample_pick(&sample, here, n), SECRET_SCRAM, 9000, 30);
	shape_sample_note(&sample, here, slice_str("joe"), secret_shape_of(slice_str(MD5)));
	expect(shape_sample_pick(&sample, here, UINT64_MAX), SECRET_MD5, 0, 0);
}

Test(secret_shape, a_name_has_one_number)
{
	struct login_salt_key key = { .bytes = { 1 } }, other = { .bytes = { 2 } };
	uint64_t number = login_stranger_number(&key, slice_str("joe"));

	cr_assert_eq(login_stranger_number(&key, slice_str("joe")), number);
	cr_assert_neq(login_stranger_number(&key, slice_str("jim")), number);
	cr_assert_neq(login_stranger_number(&other, slice_str("joe")), number);
}
