/* SPDX-License-Identifier: PostgreSQL */
/*
 * The primitives of log-in over OpenSSL's libcrypto; base64 and hex are our
 * own, strict. A primitive that fails although its input is well-formed means
 * that memory or the library is broken, and ends the process.
 *
 * OpenSSL looks algorithms up by name at every use unless it is given one that
 * was looked up before; that was a third of a log-in's instructions. So they are
 * looked up once, at the first use, and live as long as the process. Small
 * random numbers are fetched ahead, as many as a system call brings at no more cost.
 */
#include "auth/crypto.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sys/random.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

enum {
	SHA256_BLOCK_BYTES = 64,
	RANDOM_SMALL_BYTES = 31, /* nonces, salts, cancel keys; keys are longer */
	RANDOM_AHEAD_BYTES = 256,
};

static const char base64_alphabet[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static struct {
	pthread_once_t once;
	EVP_MD *sha256; /* owned, never freed */
} known = { .once = PTHREAD_ONCE_INIT };

/* Random bytes for several log-ins, of this thread: bytes[0..left). */
static _Thread_local struct {
	size_t left;
	uint8_t bytes[RANDOM_AHEAD_BYTES];
} ahead;

static void know(void)
{
	known.sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	WEIR_ASSERT(known.sha256);
}

static const EVP_MD *sha256(void)
{
	pthread_once(&known.once, know);
	return known.sha256;
}

void crypto_sha256(struct slice data, uint8_t out[CRYPTO_SHA256_BYTES])
{
	unsigned len = 0;
	int done = EVP_Digest(data.ptr, data.len, out, &len, sha256(), NULL);

	WEIR_ASSERT(done == 1 && len == CRYPTO_SHA256_BYTES);
}

/* One half of HMAC: the hash of the padded key and the parts behind it. */
static void keyed_hash(EVP_MD_CTX *ctx, const uint8_t pad[SHA256_BLOCK_BYTES],
                       const struct slice *parts, size_t count, uint8_t out[CRYPTO_SHA256_BYTES])
{
	int done = EVP_DigestInit_ex(ctx, sha256(), NULL) == 1 &&
	           EVP_DigestUpdate(ctx, pad, SHA256_BLOCK_BYTES) == 1;
	unsigned len = 0;

	for (size_t i = 0; i < count && done; i++)
		done = EVP_DigestUpdate(ctx, parts[i].ptr, parts[i].len) == 1;
	if (done)
		done = EVP_DigestFinal_ex(ctx, out, &len) == 1;
	WEIR_ASSERT(done && len == CRYPTO_SHA256_BYTES);
}

/* RFC 2104; OpenSSL's own costs several times the hashing in copies of its contexts. */
void crypto_hmac_sha256(struct slice key, const struct slice *parts, size_t count,
                        uint8_t out[CRYPTO_SHA256_BYTES])
{
	enum { INNER = 0x36, OUTER = 0x5c };
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t pad[SHA256_BLOCK_BYTES] = { 0 };
	struct slice inner = slice_of(out, CRYPTO_SHA256_BYTES);

	WEIR_ASSERT(ctx);
	if (key.len > sizeof(pad))
		crypto_sha256(key, pad);
	else if (key.len)
		memcpy(pad, key.ptr, key.len);
	for (size_t i = 0; i < sizeof(pad); i++)
		pad[i] ^= INNER;
	keyed_hash(ctx, pad, parts, count, out);
	for (size_t i = 0; i < sizeof(pad); i++)
		pad[i] ^= INNER ^ OUTER;
	keyed_hash(ctx, pad, &inner, 1, out);
	OPENSSL_cleanse(pad, sizeof(pad));
	EVP_MD_CTX_free(ctx);
}

enum weir_err crypto_pbkdf2(struct slice password, struct slice salt, unsigned iterations,
                            unsigned max_iterations, uint8_t out[CRYPTO_SHA256_BYTES])
{
	int done;

	if (iterations == 0 || iterations > max_iterations || iterations > INT_MAX ||
	    password.len > INT_MAX || salt.len > INT_MAX)
		return WEIR_ERR_LIMIT;
	done = PKCS5_PBKDF2_HMAC(password.len ? password.ptr : "", (int)password.len,
	                         (const unsigned char *)salt.ptr, (int)salt.len, (int)iterations,
	                         sha256(), CRYPTO_SHA256_BYTES, out);
	WEIR_ASSERT(done == 1);
	return WEIR_OK;
}

static void hex_encode(const uint8_t *in, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		out[2 * i] = digits[in[i] >> 4];
		out[2 * i + 1] = digits[in[i] & 15];
	}
}

enum weir_err crypto_md5_hex(struct slice a, struct slice b, char out[CRYPTO_MD5_HEX_CHARS])
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool done;

	WEIR_ASSERT(ctx);
	done = EVP_DigestInit_ex(ctx, EVP_md5(), NULL) == 1 &&
	       EVP_DigestUpdate(ctx, a.ptr, a.len) == 1 && EVP_DigestUpdate(ctx, b.ptr, b.len) == 1 &&
	       EVP_DigestFinal_ex(ctx, digest, &len) == 1 && len == CRYPTO_MD5_BYTES;
	EVP_MD_CTX_free(ctx);
	if (!done)
		return WEIR_ERR_UNSUPPORTED;
	hex_encode(digest, CRYPTO_MD5_BYTES, out);
	return WEIR_OK;
}

static void random_fetch(void *out, size_t len)
{
	uint8_t *at = out;

	while (len > 0) {
		ssize_t got = getrandom(at, len, 0);

		WEIR_ASSERT(got > 0 || errno == EINTR);
		if (got > 0) {
			at += got;
			len -= (size_t)got;
		}
	}
}

/* What is given is forgotten here, so that it is as secret as if it had just been fetched. */
void crypto_random(void *out, size_t len)
{
	if (len > RANDOM_SMALL_BYTES) {
		random_fetch(out, len);
		return;
	}
	if (ahead.left < len) {
		random_fetch(ahead.bytes, sizeof(ahead.bytes));
		ahead.left = sizeof(ahead.bytes);
	}
	ahead.left -= len;
	memcpy(out, ahead.bytes + ahead.left, len);
	OPENSSL_cleanse(ahead.bytes + ahead.left, len);
}

bool crypto_equal(struct slice a, struct slice b)
{
	return a.len == b.len && CRYPTO_memcmp(a.ptr, b.ptr, a.len) == 0;
}

size_t crypto_base64_encode(struct slice data, char *out)
{
	const uint8_t *in = (const uint8_t *)data.ptr;
	size_t n = 0;

	for (size_t i = 0; i < data.len; i += 3) {
		size_t have = data.len - i < 3 ? data.len - i : 3;
		uint32_t v = (uint32_t)in[i] << 16;

		v |= have > 1 ? (uint32_t)in[i + 1] << 8 : 0;
		v |= have > 2 ? (uint32_t)in[i + 2] : 0;
		out[n++] = base64_alphabet[v >> 18];
		out[n++] = base64_alphabet[v >> 12 & 63];
		out[n++] = have > 1 ? base64_alphabet[v >> 6 & 63] : '=';
		out[n++] = have > 2 ? base64_alphabet[v & 63] : '=';
	}
	return n;
}

/* The six bits of a character; -1: not of the alphabet. */
static int base64_value(char c)
{
	static const int8_t values[UCHAR_MAX + 1] = {
		-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
		-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
		-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 62, -1, -1, -1, 63,
		52, 53, 54, 55, 56, 57, 58, 59, 60, 61, -1, -1, -1, -1, -1, -1,
		-1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
		15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, -1, -1, -1, -1, -1,
		-1, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
		41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, -1, -1, -1, -1, -1,
		[128 ... UCHAR_MAX] = -1,
	};

	return values[(unsigned char)c];
}

/* Four characters into three bytes; false: foreign ones. */
static bool base64_whole(const char *in, uint8_t out[3])
{
	int a = base64_value(in[0]), b = base64_value(in[1]);
	int c = base64_value(in[2]), d = base64_value(in[3]);

	if ((a | b | c | d) < 0)
		return false;
	out[0] = (uint8_t)(a << 2 | b >> 4);
	out[1] = (uint8_t)(b << 4 | c >> 2);
	out[2] = (uint8_t)(c << 6 | d);
	return true;
}

/* The last four, padded, into one or two bytes; false: foreign ones, or stray bits. */
static bool base64_padded(const char *in, size_t bytes, uint8_t *out)
{
	char full[4] = { in[0], in[1], bytes == 2 ? in[2] : 'A', 'A' };
	uint8_t three[3];

	if (!base64_whole(full, three))
		return false;
	memcpy(out, three, bytes);
	return three[bytes] == 0;
}

enum weir_err crypto_base64_decode(struct slice text, uint8_t *out, size_t max, size_t *len)
{
	size_t pad = 0;
	size_t total, whole;

	if (text.len % 4 != 0)
		return WEIR_ERR_PROTOCOL;
	while (pad < 2 && pad < text.len && text.ptr[text.len - 1 - pad] == '=')
		pad++;
	total = text.len / 4 * 3 - pad;
	if (total > max)
		return WEIR_ERR_LIMIT;
	whole = total / 3;
	for (size_t i = 0; i < whole; i++) {
		if (!base64_whole(text.ptr + 4 * i, out + 3 * i))
			return WEIR_ERR_PROTOCOL;
	}
	if (pad && !base64_padded(text.ptr + 4 * whole, 3 - pad, out + 3 * whole))
		return WEIR_ERR_PROTOCOL;
	*len = total;
	return WEIR_OK;
}
