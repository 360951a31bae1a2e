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

/* PKCS#8 (RFC 8410) of an Ed25519 key: this, then the 32 bytes of its seed. */
static const uint8_t prefix[PREFIX_SIZE] = {0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06,
					    0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20};

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

static bool read_pem(const char *path, uint8_t seed[32])
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
	    got != sizeof(der) || memcmp(der, prefix, PREFIX_SIZE) != 0) {
		sodium_memzero(text, sizeof(text));
		return false;
	}
	memcpy(seed, der + PREFIX_SIZE, 32);
	sodium_memzero(text, sizeof(text));
	sodium_memzero(der, sizeof(der));
	return true;
}

static bool write_pem(const char *path, const uint8_t seed[32])
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

bool keys_open(struct keys *keys, const char *path, const char *data)
{
	char made[PATH_MAX];
	uint8_t seed[32];
	uint8_t public[32];
	size_t at;

	if (sodium_init() < 0) {
		fprintf(stderr, "proplet-posix: libsodium cannot be used\n");
		return false;
	}
	if (path == NULL) {
		snprintf(made, sizeof(made), "%s/device.pem", data);
		path = made;
		if (access(path, F_OK) != 0) {
			randombytes_buf(seed, sizeof(seed));
			if (!write_pem(path, seed)) {
				fprintf(stderr, "proplet-posix: %s: %s\n", path, strerror(errno));
				return false;
			}
		}
	}
	if (!read_pem(path, seed)) {
		fprintf(stderr, "proplet-posix: %s: not a private key Ed25519 in PEM (%s)\n", path,
			strerror(errno));
		return false;
	}
	crypto_sign_seed_keypair(public, keys->secret, seed);
	sodium_memzero(seed, sizeof(seed));
	at = strlen(strcpy(keys->text, "ed25519:"));
	sodium_bin2base64(keys->text + at, sizeof(keys->text) - at, public, sizeof(public),
			  sodium_base64_VARIANT_ORIGINAL);
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
