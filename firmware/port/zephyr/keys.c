/* See keys.h. */
#include "keys.h"

#include <mbedtls/ecdsa.h>
#include <mbedtls/ecp.h>
#include <mbedtls/sha256.h>
#include <string.h>
#include <zephyr/kernel.h>
#include <zephyr/logging/log.h>
#if __has_include(<zephyr/random/random.h>)
#include <zephyr/random/random.h> /* from 3.5 on */
#else
#include <zephyr/random/rand32.h>
#endif
#include <zephyr/sys/base64.h>

#include "identity.h"
#include "store.h"

LOG_MODULE_REGISTER(proplet_keys, CONFIG_PROPLET_LOG_LEVEL);

BUILD_ASSERT(sizeof(mbedtls_sha256_context) <= sizeof(struct proplet_hash), "hash state");

static mbedtls_ecp_group group;
static mbedtls_mpi secret;
static char text[KEYS_TEXT];

int keys_random(void *ctx, void *out, size_t len)
{
	ARG_UNUSED(ctx);
#if defined(CONFIG_PROPLET_TEST_RANDOM)
	sys_rand_get(out, len);
	return PROPLET_OK;
#else
	return sys_csrand_get(out, len) == 0 ? PROPLET_OK : PROPLET_BROKEN;
#endif
}

int keys_chance(void *ctx, unsigned char *out, size_t len)
{
	return keys_random(ctx, out, len) == PROPLET_OK ? 0 : MBEDTLS_ERR_ECP_RANDOM_FAILED;
}

mbedtls_ecp_group *keys_group(void)
{
	return &group;
}

bool keys_spell(const mbedtls_mpi *key, char to[KEYS_TEXT])
{
	mbedtls_ecp_point point;
	uint8_t raw[KEYS_POINT];
	size_t len = 0;
	size_t wrote;
	bool fine;

	mbedtls_ecp_point_init(&point);
	fine = mbedtls_ecp_mul(&group, &point, key, &group.G, keys_chance, NULL) == 0 &&
	       mbedtls_ecp_point_write_binary(&group, &point, MBEDTLS_ECP_PF_UNCOMPRESSED, &len,
					      raw, sizeof(raw)) == 0;
	mbedtls_ecp_point_free(&point);
	strcpy(to, "p256:");
	return fine && base64_encode((uint8_t *)to + 5, KEYS_TEXT - 5, &wrote, raw, len) == 0;
}

bool keys_private(uint16_t record, mbedtls_mpi *key)
{
	uint8_t raw[32];
	size_t len;
	int found = store_get(record, raw, sizeof(raw), &len);
	bool fine;

	if (found == PROPLET_OK && len == sizeof(raw)) {
		fine = mbedtls_mpi_read_binary(key, raw, sizeof(raw)) == 0;
	} else {
		fine = found == PROPLET_MISSING &&
		       mbedtls_ecp_gen_privkey(&group, key, keys_chance, NULL) == 0 &&
		       mbedtls_mpi_write_binary(key, raw, sizeof(raw)) == 0 &&
		       store_put(record, raw, sizeof(raw)) == PROPLET_OK;
	}
	proplet_wipe(raw, sizeof(raw));
	return fine;
}

bool keys_open(void)
{
	mbedtls_ecp_group_init(&group);
	mbedtls_mpi_init(&secret);
	if (mbedtls_ecp_group_load(&group, MBEDTLS_ECP_DP_SECP256R1) != 0) {
		return false;
	}
	if (!keys_private(IDENTITY_KEY, &secret)) {
		LOG_ERR("no key of its own can be made");
		return false;
	}
	return keys_spell(&secret, text);
}

const char *keys_text(void)
{
	return text;
}

static int hash_begin(void *ctx, struct proplet_hash *state)
{
	mbedtls_sha256_context *sha = (void *)state;

	ARG_UNUSED(ctx);
	mbedtls_sha256_init(sha);
	return mbedtls_sha256_starts(sha, 0) == 0 ? PROPLET_OK : PROPLET_BROKEN;
}

static int hash_add(void *ctx, struct proplet_hash *state, const void *data, size_t len)
{
	ARG_UNUSED(ctx);
	return mbedtls_sha256_update((void *)state, data, len) == 0 ? PROPLET_OK : PROPLET_BROKEN;
}

static int hash_end(void *ctx, struct proplet_hash *state, uint8_t digest[32])
{
	ARG_UNUSED(ctx);
	return mbedtls_sha256_finish((void *)state, digest) == 0 ? PROPLET_OK : PROPLET_BROKEN;
}

static int verify(void *ctx, enum proplet_alg alg, const uint8_t *pub, size_t pub_len,
		  const uint8_t sig[64], const void *msg, size_t len)
{
	mbedtls_ecp_point point;
	mbedtls_mpi r, s;
	uint8_t digest[32];
	int error;

	ARG_UNUSED(ctx);
	if (alg != PROPLET_P256) {
		return PROPLET_MISSING;
	}
	mbedtls_ecp_point_init(&point);
	mbedtls_mpi_init(&r);
	mbedtls_mpi_init(&s);
	error = mbedtls_sha256(msg, len, digest, 0);
	error = error ? error : mbedtls_ecp_point_read_binary(&group, &point, pub, pub_len);
	error = error ? error : mbedtls_ecp_check_pubkey(&group, &point);
	error = error ? error : mbedtls_mpi_read_binary(&r, sig, 32);
	error = error ? error : mbedtls_mpi_read_binary(&s, sig + 32, 32);
	error = error ? error
		      : mbedtls_ecdsa_verify(&group, digest, sizeof(digest), &point, &r, &s);
	mbedtls_ecp_point_free(&point);
	mbedtls_mpi_free(&r);
	mbedtls_mpi_free(&s);
	return error == 0 ? PROPLET_OK : PROPLET_REFUSED;
}

static int sign(void *ctx, uint8_t sig[64], const void *msg, size_t len)
{
	mbedtls_mpi r, s;
	uint8_t digest[32];
	int error;

	ARG_UNUSED(ctx);
	mbedtls_mpi_init(&r);
	mbedtls_mpi_init(&s);
	error = mbedtls_sha256(msg, len, digest, 0);
	error = error ? error
		      : mbedtls_ecdsa_sign(&group, &r, &s, &secret, digest, sizeof(digest),
					   keys_chance, NULL);
	error = error ? error : mbedtls_mpi_write_binary(&r, sig, 32);
	error = error ? error : mbedtls_mpi_write_binary(&s, sig + 32, 32);
	mbedtls_mpi_free(&r);
	mbedtls_mpi_free(&s);
	return error == 0 ? PROPLET_OK : PROPLET_BROKEN;
}

void keys_fill(struct proplet_port *port)
{
	port->random = keys_random;
	port->hash_begin = hash_begin;
	port->hash_add = hash_add;
	port->hash_end = hash_end;
	port->verify = verify;
	port->sign = sign;
}
