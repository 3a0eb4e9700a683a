/* SPDX-License-Identifier: PostgreSQL */
/*
 * Places for the sessions' large objects, which OpenSSL makes through our
 * allocator, so that one can be put away: 7.6 KB are 1.7 KB without their
 * zeros. Its address stays its own, and nobody may touch it until it is back.
 *
 * Any thread; one object is one thread's at a time. While the store isn't in
 * use all of OpenSSL's memory comes from the heap, and nothing is put away.
 */
#ifndef WEIR_NET_TLS_STORE_H
#define WEIR_NET_TLS_STORE_H

#include <stdbool.h>

/* The next large object that OpenSSL makes on this thread gets a place, or no longer. */
void tls_store_expect(bool is_expected);
bool tls_store_holds(const void *object);

/* What brings it back; owned, and by that alone freed. NULL: not now, and it is as it was. */
void *tls_store_put_away(void *object);
void tls_store_bring_back(void *object, void **packed);

#endif
