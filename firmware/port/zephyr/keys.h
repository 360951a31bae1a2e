/* Cryptography by Mbed TLS: ECDSA P-256 and SHA-256. The device's key is made at its first start. */
#ifndef PROPLET_ZEPHYR_KEYS_H
#define PROPLET_ZEPHYR_KEYS_H

#include <stdbool.h>

#include "proplet/port.h"

#define KEYS_TEXT 100 /* `p256:` and base64 of 65 bytes */

bool keys_open(void);
const char *keys_text(void); /* the public key */
int keys_random(void *ctx, void *out, size_t len);
void keys_fill(struct proplet_port *port);

#endif
