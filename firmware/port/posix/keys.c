/* See keys.h. */
#define _POSIX_C_SOURCE 200809L
#include "keys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef PROPLET_P256_KEYS
#include "p256.h"
#endif

#define PREFIX_SIZE 16

/* PKCS#8 (RFC 8410) of an Ed25519 key: this, then the 32 bytes of its seed. That of an X25519 key
 * differs in one byte. */
static const uint8_t prefix[PREFIX_SIZE] = {0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06,
					    0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20};
#define WHICH 11
enum { ED25519 = 0x70, X25519 = 0x6e };

static const char begin[] = "-----BEGIN PRIVATE KEY-----";
static const char end[] = "-----END PRIVATE KEY-----";

_Static_assert(sizeof(crypto_hash_sha256_state) <= sizeof(struct proplet_hash), "hash state");

bool first_line(const char *path, char *to, size_t size)
{
	FILE *file = fopen(path, "r");
	bool fine;

	if (file == NULL) {
		return false;
	}
	fine = fgets(to, (int)size, file) != NULL;
	fclose(file);
	if (fine) {
		size_t length = strcspn(to, "\r\n");

		fine = length < size - 1;
		to[length] = '\0';
	}
	return fine;
}

static bool read_pem(const char *path, uint8_t which, uint8_t seed[32])
{
	char text[1024];
	uint8_t der[PREFIX_SIZE + 32];
	FILE *file = fopen(path, "r");
	const char *body;
	size_t size;
	size_t got;

	if (file == NULL) {
		return false;
	}
	size = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[size] = '\0';
	body = strstr(text, begin);
	errno = EINVAL;
	if (body == NULL ||
	    sodium_base642bin(der, sizeof(der), body + sizeof(begin) - 1,
			      strcspn(body + sizeof(begin) - 1, "-"), "\r\n ", &got, NULL,
			      sodium_base64_VARIANT_ORIGINAL) != 0 ||
	    got != sizeof(der) || memcmp(der, prefix, WHICH) != 0 || der[WHICH] != which ||
	    memcmp(der + WHICH + 1, prefix + WHICH + 1, PREFIX_SIZE - WHICH - 1) != 0) {
		sodium_memzero(text, sizeof(text));
		return false;
	}
	memcpy(seed, der + PREFIX_SIZE, 32);
	sodium_memzero(text, sizeof(text));
	sodium_memzero(der, sizeof(der));
	return true;
}

static bool write_pem(const char *path, uint8_t which, const uint8_t seed[32])
{
	char base64[sodium_base64_ENCODED_LEN(PREFIX_SIZE + 32, sodium_base64_VARIANT_ORIGINAL)];
	char fresh[PATH_MAX + 8];
	uint8_t der[PREFIX_SIZE + 32];
	FILE *file;
	bool fine;
	int fd;

	snprintf(fresh, sizeof(fresh), "%s.new", path);
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	file = fd < 0 ? NULL : fdopen(fd, "w");
	if (file == NULL) {
		return false;
	}
	memcpy(der, prefix, PREFIX_SIZE);
	der[WHICH] = which;
	memcpy(der + PREFIX_SIZE, seed, 32);
	sodium_bin2base64(base64, sizeof(base64), der, sizeof(der),
			  sodium_base64_VARIANT_ORIGINAL);
	fine = fprintf(file, "%s\n%s\n%s\n", begin, base64, end) > 0 && fflush(file) == 0 &&
	       fsync(fd) == 0;
	fclose(file);
	sodium_memzero(der, sizeof(der));
	sodium_memzero(base64, sizeof(base64));
	return fine && rename(fresh, path) == 0;
}

/* The seed in the PEM file `path`; NULL: `name` in `data`, made where it is missing. */
static bool seed_of(const char *path, const char *data, const char *name, uint8_t which,
		    uint8_t seed[32])
{
	char made[PATH_MAX];

	if (path == NULL) {
		snprintf(made, sizeof(made), "%s/%s", data, name);
		path = made;
		if (access(path, F_OK) != 0) {
			randombytes_buf(seed, 32);
			if (!write_pem(path, which, seed)) {
				fprintf(stderr, "proplet-posix: %s: %s\n", path, strerror(errno));
				return false;
			}
		}
	}
	if (!read_pem(path, which, seed)) {
		fprintf(stderr, "proplet-posix: %s: not a private key %s in PEM (%s)\n", path,
			which == ED25519 ? "Ed25519" : "X25519", strerror(errno));
		return false;
	}
	return true;
}

static void spell(char *to, size_t size, const char *word, const uint8_t public[32])
{
	size_t at = strlen(strcpy(to, word));

	sodium_bin2base64(to + at, size - at, public, 32, sodium_base64_VARIANT_ORIGINAL);
}

bool keys_open(struct keys *keys, const char *path, const char *box, const char *data)
{
	uint8_t seed[32];
	uint8_t public[32];

	if (sodium_init() < 0) {
		fprintf(stderr, "proplet-posix: libsodium cannot be used\n");
		return false;
	}
	if (!seed_of(path, data, "device.pem", ED25519, seed)) {
		return false;
	}
	crypto_sign_seed_keypair(public, keys->secret, seed);
	sodium_memzero(seed, sizeof(seed));
	spell(keys->text, sizeof(keys->text), "ed25519:", public);
	if (!seed_of(box, data, "device.box.pem", X25519, keys->box)) {
		return false;
	}
	crypto_scalarmult_base(public, keys->box);
	spell(keys->box_text, sizeof(keys->box_text), "x25519:", public);
	return true;
}

int keys_hash_begin(struct proplet_hash *state)
{
	crypto_hash_sha256_init((crypto_hash_sha256_state *)(void *)state);
	return PROPLET_OK;
}

int keys_hash_add(struct proplet_hash *state, const void *data, size_t len)
{
	crypto_hash_sha256_update((crypto_hash_sha256_state *)(void *)state, data, len);
	return PROPLET_OK;
}

int keys_hash_end(struct proplet_hash *state, uint8_t digest[32])
{
	crypto_hash_sha256_final((crypto_hash_sha256_state *)(void *)state, digest);
	return PROPLET_OK;
}

int keys_verify(enum proplet_alg alg, const uint8_t *pub, size_t pub_len, const uint8_t sig[64],
		const void *msg, size_t len)
{
#ifdef PROPLET_P256_KEYS
	if (alg == PROPLET_P256) {
		return pub_len == 65 && p256_verify(pub, sig, msg, len) ? PROPLET_OK
									 : PROPLET_REFUSED;
	}
#endif
	if (alg != PROPLET_ED25519) {
		return PROPLET_MISSING;
	}
	if (pub_len != 32 || crypto_sign_verify_detached(sig, msg, len, pub) != 0) {
		return PROPLET_REFUSED;
	}
	return PROPLET_OK;
}

int keys_sign(const struct keys *keys, uint8_t sig[64], const void *msg, size_t len)
{
	return crypto_sign_detached(sig, NULL, msg, len, keys->secret) == 0 ? PROPLET_OK
									   : PROPLET_BROKEN;
}

/* -- secrets ------------------------------------------------------------------------------- */

int keys_agree(const struct keys *keys, const uint8_t *pub, size_t pub_len, uint8_t shared[32])
{
	if (pub_len != crypto_scalarmult_BYTES ||
	    crypto_scalarmult(shared, keys->box, pub) != 0) {
		return PROPLET_REFUSED;
	}
	return PROPLET_OK;
}

/* RFC 5869: an HMAC to extract, one for each 32 bytes to expand. libsodium has it whole from 1.0.19
 * on, Debian's does not. */
int keys_derive(const uint8_t secret[32], const uint8_t *salt, size_t salt_len, const void *info,
		size_t info_len, uint8_t *out, size_t len)
{
	crypto_auth_hmacsha256_state state;
	uint8_t extracted[32];
	uint8_t block[32];
	size_t had = 0;

	crypto_auth_hmacsha256_init(&state, salt, salt_len);
	crypto_auth_hmacsha256_update(&state, secret, 32);
	crypto_auth_hmacsha256_final(&state, extracted);
	for (uint8_t count = 1; len > 0; count++) {
		size_t take = len < sizeof(block) ? len : sizeof(block);

		crypto_auth_hmacsha256_init(&state, extracted, sizeof(extracted));
		crypto_auth_hmacsha256_update(&state, block, had);
		crypto_auth_hmacsha256_update(&state, info, info_len);
		crypto_auth_hmacsha256_update(&state, &count, 1);
		crypto_auth_hmacsha256_final(&state, block);
		memcpy(out, block, take);
		out += take;
		len -= take;
		had = sizeof(block);
	}
	sodium_memzero(extracted, sizeof(extracted));
	sodium_memzero(block, sizeof(block));
	sodium_memzero(&state, sizeof(state));
	return PROPLET_OK;
}

int keys_unseal(const uint8_t key[32], const uint8_t nonce[12], const void *aad, size_t aad_len,
		const uint8_t *sealed, size_t len, uint8_t *out)
{
	return crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, sealed, len, aad, aad_len,
							 nonce, key) == 0
		       ? PROPLET_OK
		       : PROPLET_REFUSED;
}
