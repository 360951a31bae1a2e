/* What the host tests share: checks that name their place, JSON of vector files, a port's crypto. */
#ifndef HARNESS_H
#define HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "proplet/port.h"

extern unsigned harness_checks, harness_failures;

/* Says what went wrong and goes on. */
#define CHECK(what, ...)                                                                           \
	do {                                                                                       \
		harness_checks++;                                                                  \
		if (!(what)) {                                                                     \
			harness_failures++;                                                        \
			fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #what);                 \
			fprintf(stderr, __VA_ARGS__);                                              \
			fputc('\n', stderr);                                                       \
		}                                                                                  \
	} while (0)

/* 0 when all checks held; says how many there were. */
int harness_end(const char *name);

/* The file, with a terminator; freed by nobody. Exits where it cannot be read. */
char *harness_load(const char *folder, const char *name, size_t *len);

/* -- JSON of vector files, walked in place -------------------------------------------------- */

typedef const uint8_t *json;
extern const uint8_t *json_end; /* of the file looked at */

json json_file(const char *folder, const char *name);
json json_get(json object, const char *key); /* NULL where absent */
json json_first(json list_or_object);        /* NULL where empty; in an object the first key */
json json_next(json item);                   /* behind the comma, NULL at the end */
json json_value(json key);                   /* the value of a key json_first or json_next gave */
size_t json_text(json text, char *out, size_t cap); /* unescaped, terminated; its length */
size_t json_hex(json text, uint8_t *out, size_t cap);
size_t json_base64(json text, uint8_t *out, size_t cap);
int64_t json_number(json value);
bool json_true(json value);
bool json_is_null(json value);
/* Do two values say the same, whatever the order of keys and the white space? */
bool json_same(json one, const uint8_t *one_end, json other, const uint8_t *other_end);

/* -- crypto of a port, from a library ------------------------------------------------------- */

int crypto_hash_begin(void *ctx, struct proplet_hash *state);
int crypto_hash_add(void *ctx, struct proplet_hash *state, const void *data, size_t len);
int crypto_hash_end(void *ctx, struct proplet_hash *state, uint8_t digest[32]);
int crypto_verify(void *ctx, enum proplet_alg alg, const uint8_t *pub, size_t pub_len,
		  const uint8_t sig[64], const void *msg, size_t len);
/* Ed25519 with a seed of 32 bytes. */
int crypto_sign(const uint8_t seed[32], uint8_t sig[64], const void *msg, size_t len);
/* What the private key (32 bytes) and `pub` agree on: by X25519, or of P-256 where pub has 65. */
int crypto_agree(const uint8_t key[32], const uint8_t *pub, size_t pub_len, uint8_t shared[32]);
/* The public half of a private key of X25519 (32 bytes) or P-256 (65). */
void crypto_public(const uint8_t key[32], uint8_t *pub, size_t pub_len);
int crypto_derive(void *ctx, const uint8_t secret[32], const uint8_t *salt, size_t salt_len,
		  const void *info, size_t info_len, uint8_t *out, size_t len);
int crypto_unseal(void *ctx, const uint8_t key[32], const uint8_t nonce[12], const void *aad,
		  size_t aad_len, const uint8_t *sealed, size_t len, uint8_t *out);
/* The other way: len + 16 bytes. */
void crypto_encrypt(const uint8_t key[32], const uint8_t nonce[12], const void *aad, size_t aad_len,
		    const uint8_t *value, size_t len, uint8_t *out);
/* The first five calls above in a port; the others NULL. ctx: the seed to sign with. */
void crypto_port(struct proplet_port *port, const uint8_t *seed);

#endif
