/* Cryptography by Mbed TLS: ECDSA P-256 and SHA-256. The device's key is made at its first start. */
#ifndef PROPLET_ZEPHYR_KEYS_H
#define PROPLET_ZEPHYR_KEYS_H

#include <stdbool.h>

#if __has_include(<mbedtls/ecp.h>)
#include <mbedtls/ecp.h>
#endif

#include "proplet/port.h"

#define KEYS_TEXT 100 /* `p256:` and base64 of 65 bytes */
#define KEYS_POINT 65

bool keys_open(void);
const char *keys_text(void); /* the public key */
int keys_random(void *ctx, void *out, size_t len);

#if __has_include(<mbedtls/ecp.h>) /* of keys.c for agree.c; psa.c is both */
int keys_chance(void *ctx, unsigned char *out, size_t len); /* as Mbed TLS wants it */
mbedtls_ecp_group *keys_group(void);
/* The private key in a record, made where there is none. */
bool keys_private(uint16_t record, mbedtls_mpi *key);
/* Its public half as text. */
bool keys_spell(const mbedtls_mpi *key, char to[KEYS_TEXT]);
#endif

void keys_fill(struct proplet_port *port);

#endif
