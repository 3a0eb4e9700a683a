/* SPDX-License-Identifier: PostgreSQL */
/*
 * Over libidn, the only user of it. It works in place, in a buffer that any
 * result fits into; its own copies of a password that isn't ASCII it frees
 * without wiping them.
 */
#include "auth/saslprep.h"

#include <stringprep.h>

#include "base/mem.h"

/* Normalisation makes the most of U+FDFA: 33 bytes of 3. */
enum { GROWTH_MAX = 12 };

static bool is_ascii(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.ptr[i] > 127)
			return false;
	return true;
}

void saslprep_init(struct saslprep *p, struct slice password)
{
	*p = (struct saslprep){ .text = password };
	if (is_ascii(password) || password.len > SASLPREP_MAX_BYTES)
		return;
	p->owned_size = GROWTH_MAX * password.len + 1;
	p->owned = mem_zalloc(p->owned_size);
	memcpy(p->owned, password.ptr, password.len);
	if (stringprep(p->owned, p->owned_size, STRINGPREP_NO_UNASSIGNED, stringprep_saslprep) ==
	            STRINGPREP_OK &&
	    *p->owned)
		p->text = slice_str(p->owned);
}

void saslprep_fini(struct saslprep *p)
{
	if (p->owned)
		mem_wipe(p->owned, p->owned_size);
	mem_free(p->owned);
	*p = (struct saslprep){ 0 };
}
