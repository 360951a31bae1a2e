/* Cryptography of the posix port: libsodium. Ed25519 and SHA-256; no P-256. */
#ifndef PROPLET_POSIX_KEYS_H
#define PROPLET_POSIX_KEYS_H

#include "proplet/port.h"

struct keys {
	uint8_t secret[64]; /* seed and public key, as libsodium keeps them */
	char text[64];      /* `ed25519:<base64>` of the public one */
};

/* The key in the PEM file `path`; NULL: device.pem in `data`, made where it is missing. On false a
 * message for people was written to stderr. */
bool keys_open(struct keys *keys, const char *path, const char *data);

int keys_hash_begin(struct proplet_hash *state);
int keys_hash_add(struct proplet_hash *state, const void *data, size_t len);
int keys_hash_end(struct proplet_hash *state, uint8_t digest[32]);
int keys_verify(enum proplet_alg alg, const uint8_t *pub, size_t pub_len, const uint8_t sig[64],
		const void *msg, size_t len);
int keys_sign(const struct keys *keys, uint8_t sig[64], const void *msg, size_t len);

/* First line of a text file, without its end; false where it is missing or too long. */
bool first_line(const char *path, char *to, size_t size);

#endif
