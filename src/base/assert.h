/* SPDX-License-Identifier: PostgreSQL */
/*
 * Assertions that stay on in release builds.
 *
 * WEIR_ASSERT guards pgweir's own invariants: a failure is a bug in pgweir and
 * ends the process with file, line and expression. Nothing that a peer sends
 * may ever reach one. No state, any thread.
 */
#ifndef WEIR_BASE_ASSERT_H
#define WEIR_BASE_ASSERT_H

_Noreturn void weir_assert_fail(const char *expr, const char *file, int line, const char *func);

#define WEIR_ASSERT(expr)                    \
	(__builtin_expect(!!(expr), 1) ? (void)0 \
	                               : weir_assert_fail(#expr, __FILE__, __LINE__, __func__))

/* An object that callbacks reach starts with `unsigned magic`. */
#define WEIR_CHECK_MAGIC(obj, value) WEIR_ASSERT((obj) != NULL && (obj)->magic == (value))

#define WEIR_MUST_CHECK __attribute__((warn_unused_result))
#define WEIR_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define WEIR_COUNTOF(a) (sizeof(a) / sizeof((a)[0]))

#endif
