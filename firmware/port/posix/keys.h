/* Cryptography of the posix port: libsodium. Ed25519, SHA-256, X25519 for secrets; no P-256. */
#ifndef PROPLET_POSIX_KEYS_H
#define PROPLET_POSIX_KEYS_H

#include "proplet/port.h"

struct keys {
	uint8_t secret[64]; /* seed and public key, as libsodium keeps them */
	char text[64];      /* `ed25519:<base64>` of the public one */
	uint8_t box[32];    /* what secrets are sealed to: the private key */
	char box_text[64];  /* `x25519:<base64>` of the public one */
};

/* The keys in the PEM files `path` and `box`; NULL: device.pem and device.box.pem in `data`, made where
 * they are missing. On false a message for people was written to stderr. */
bool keys_open(struct keys *keys, const char *path, const char *box, const char *data);

int keys_hash_begin(struct proplet_hash *state);
int keys_hash_add(struct proplet_hash *state, const void *data, size_t len);
int keys_hash_end(struct proplet_hash *state, uint8_t digest[32]);
int keys_verify(enum proplet_alg alg, const uint8_t *pub, size_t pub_len, const uint8_t sig[64],
		const void *msg, size_t len);
int keys_sign(const struct keys *keys, uint8_t sig[64], const void *msg, size_t len);
int keys_agree(const struct keys *keys, const uint8_t *pub, size_t pub_len, uint8_t shared[32]);
int keys_derive(const uint8_t secret[32], const uint8_t *salt, size_t salt_len, const void *info,
		size_t info_len, uint8_t *out, size_t len);
int keys_unseal(const uint8_t key[32], const uint8_t nonce[12], const void *aad, size_t aad_len,
		const uint8_t *sealed, size_t len, uint8_t *out);

/* First line of a text file, without its end; false where it is missing or too long. */
bool first_line(const char *path, char *to, size_t size);

#endif
