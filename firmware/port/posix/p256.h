/* P-256 by OpenSSL: what signs release lists (cosign's keys), and what devices sign with that have no
 * Ed25519. Built where libcrypto is; without it such keys verify nothing here. */
#ifndef PROPLET_POSIX_P256_H
#define PROPLET_POSIX_P256_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Is `sig` (r and s) by the key `pub` (an uncompressed point, 65 bytes) over `msg`? */
bool p256_verify(const uint8_t pub[65], const uint8_t sig[64], const void *msg, size_t len);

#endif
