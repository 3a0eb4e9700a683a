/* SPDX-License-Identifier: PostgreSQL */
/*
 * A range of addresses is reserved for the life of the process, and cut into
 * places of two pages. Putting away copies the words that aren't zero to the
 * heap and gives the pages back to the system; the next touch finds zeros, and
 * bringing back writes the words where they were. So it needs to know nothing
 * of the object, not even where it ends.
 *
 * Objects begin at different lines of their places, or all sessions would
 * share the same few lines of the processor's nearest cache. What is put away
 * holds keys: it is wiped when it is back, as OpenSSL wipes its own.
 */
#include "net/tls_store.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "net/tls.h"

enum {
	PLACE_BYTES = 8192,
	PLACES_MAX = 128 * 1024, /* more sessions than that have the rest on the heap */
	LINE_BYTES = 64,
	LINES = 8, /* that an object may begin at */
	OBJECT_MIN = 4096,
	OBJECT_MAX = PLACE_BYTES - (LINES - 1) * LINE_BYTES,
	GROUP = 64, /* words that one mask tells of */
	GROUPS = PLACE_BYTES / (int)sizeof(uint64_t) / GROUP,
};

struct packed {
	size_t count;
	uint64_t masks[GROUPS]; /* bit set: the word isn't zero */
	uint64_t words[];
};

static struct {
	pthread_mutex_t mutex; /* of what isn't set once */
	char *base;            /* set once, as the next */
	size_t bytes;          /* 0: not in use */
	uint32_t *next;        /* of each free place, index + 1 of another */
	uint32_t first_free;   /* index + 1; 0: none */
	uint32_t handed_out;   /* places that were in use at least once: they are the first ones */
} store = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static _Thread_local bool is_object_expected;

/* --- places --- */

static uint32_t place_of(const void *object)
{
	return (uint32_t)((size_t)((const char *)object - store.base) / PLACE_BYTES);
}

static char *place_at(uint32_t place)
{
	return store.base + (size_t)place * PLACE_BYTES;
}

bool tls_store_holds(const void *object)
{
	return (uintptr_t)object - (uintptr_t)store.base < store.bytes;
}

static void *place_take(void)
{
	uint32_t place = PLACES_MAX;

	pthread_mutex_lock(&store.mutex);
	if (store.first_free) {
		place = store.first_free - 1;
		store.first_free = store.next[place];
	} else if (store.handed_out < PLACES_MAX) {
		place = store.handed_out++;
	}
	pthread_mutex_unlock(&store.mutex);
	if (place == PLACES_MAX)
		return NULL;
	return place_at(place) + (size_t)(place % LINES) * LINE_BYTES;
}

static void place_free(void *object)
{
	uint32_t place = place_of(object);

	madvise(place_at(place), PLACE_BYTES, MADV_DONTNEED);
	pthread_mutex_lock(&store.mutex);
	store.next[place] = store.first_free;
	store.first_free = place + 1;
	pthread_mutex_unlock(&store.mutex);
}

/* --- OpenSSL's allocator: as its own, but for the objects that are expected --- */

static void *on_alloc(size_t size, const char *file, int line)
{
	void *object;

	(void)file;
	(void)line;
	if (is_object_expected && size >= OBJECT_MIN && size <= OBJECT_MAX) {
		is_object_expected = false;
		object = place_take();
		if (object)
			return object;
	}
	return size ? mem_try_alloc(size) : NULL;
}

static void on_free(void *object, const char *file, int line)
{
	(void)file;
	(void)line;
	if (tls_store_holds(object))
		place_free(object);
	else
		mem_free(object);
}

static void *on_realloc(void *object, size_t size, const char *file, int line)
{
	if (size == 0) {
		on_free(object, file, line);
		return NULL;
	}
	WEIR_ASSERT(!tls_store_holds(object)); /* sessions don't grow */
	return mem_try_realloc(object, size);
}

static void *reserve(size_t size)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

bool tls_prepare(void)
{
	size_t size = (size_t)PLACES_MAX * PLACE_BYTES;
	char *base;

	if (store.bytes)
		return true;
	if (CRYPTO_set_mem_functions(on_alloc, on_realloc, on_free) != 1)
		return false;
	base = reserve(size);
	store.next = reserve(PLACES_MAX * sizeof(*store.next));
	if (!base || !store.next)
		return false;
	madvise(base, size, MADV_NOHUGEPAGE); /* whose pages would come and go as one */
	store.base = base;
	store.bytes = size;
	return true;
}

void tls_store_expect(bool is_expected)
{
	is_object_expected = is_expected && store.bytes;
}

/* --- away and back --- */

static uint64_t word_at(const char *place, size_t index)
{
	uint64_t word;

	memcpy(&word, place + index * sizeof(word), sizeof(word));
	return word;
}

static size_t masks_of(const char *place, uint64_t masks[GROUPS])
{
	size_t count = 0;

	for (size_t g = 0; g < GROUPS; g++) {
		masks[g] = 0;
		for (size_t i = 0; i < GROUP; i++)
			masks[g] |= (uint64_t)(word_at(place, g * GROUP + i) != 0) << i;
		count += (size_t)__builtin_popcountll(masks[g]);
	}
	return count;
}

static void *pack(const char *place, const uint64_t masks[GROUPS], size_t count)
{
	struct packed *p = mem_try_alloc(sizeof(*p) + count * sizeof(p->words[0]));
	uint64_t *word;

	if (!p)
		return NULL;
	p->count = count;
	memcpy(p->masks, masks, sizeof(p->masks));
	word = p->words;
	for (size_t g = 0; g < GROUPS; g++) {
		for (uint64_t left = masks[g]; left; left &= left - 1)
			*word++ = word_at(place, g * GROUP + (size_t)__builtin_ctzll(left));
	}
	return p;
}

static void packed_free(struct packed *p)
{
	mem_wipe(p, sizeof(*p) + p->count * sizeof(p->words[0]));
	mem_free(p);
}

void *tls_store_put_away(void *object)
{
	char *place = place_at(place_of(object));
	uint64_t masks[GROUPS];
	size_t count = masks_of(place, masks);
	void *packed = pack(place, masks, count);

	if (packed && madvise(place, PLACE_BYTES, MADV_DONTNEED) != 0) {
		packed_free(packed);
		return NULL;
	}
	return packed;
}

void tls_store_bring_back(void *object, void **packed)
{
	char *place = place_at(place_of(object));
	struct packed *p = *packed;
	const uint64_t *word = p->words;

	for (size_t g = 0; g < GROUPS; g++) {
		for (uint64_t left = p->masks[g]; left; left &= left - 1, word++) {
			size_t index = g * GROUP + (size_t)__builtin_ctzll(left);

			memcpy(place + index * sizeof(*word), word, sizeof(*word));
		}
	}
	packed_free(p);
	*packed = NULL;
}
