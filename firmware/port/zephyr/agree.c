/*
 * Secrets by Mbed TLS: the device's encryption key on P-256, made at its first start, HKDF-SHA256 and
 * ChaCha20-Poly1305.
 */
#include "boxes.h"

#include <mbedtls/chachapoly.h>
#include <mbedtls/ecp.h>
#include <mbedtls/hkdf.h>
#include <mbedtls/md.h>
#include <string.h>
#include <zephyr/logging/log.h>

#include "identity.h"
#include "keys.h"

LOG_MODULE_REGISTER(proplet_boxes, CONFIG_PROPLET_LOG_LEVEL);

#define TAG 16

static mbedtls_mpi secret;
static char text[KEYS_TEXT];

bool boxes_open(void)
{
	mbedtls_mpi_init(&secret);
	if (!keys_private(IDENTITY_BOX, &secret) || !keys_spell(&secret, text)) {
		LOG_ERR("no encryption key of its own can be made");
		return false;
	}
	return true;
}

const char *boxes_text(void)
{
	return text;
}

static int agree(void *ctx, const uint8_t *pub, size_t pub_len, uint8_t shared[32])
{
	mbedtls_ecp_group *group = keys_group();
	mbedtls_ecp_point theirs, point;
	uint8_t raw[KEYS_POINT];
	size_t len;
	int error;

	ARG_UNUSED(ctx);
	mbedtls_ecp_point_init(&theirs);
	mbedtls_ecp_point_init(&point);
	error = mbedtls_ecp_point_read_binary(group, &theirs, pub, pub_len);
	error = error ? error : mbedtls_ecp_check_pubkey(group, &theirs);
	error = error ? error
		      : mbedtls_ecp_mul(group, &point, &secret, &theirs, keys_chance, NULL);
	error = error ? error
		      : mbedtls_ecp_point_write_binary(group, &point,
						       MBEDTLS_ECP_PF_UNCOMPRESSED, &len, raw,
						       sizeof(raw));
	if (error == 0) {
		memcpy(shared, raw + 1, 32); /* x */
	}
	proplet_wipe(raw, sizeof(raw));
	mbedtls_ecp_point_free(&theirs);
	mbedtls_ecp_point_free(&point);
	return error == 0 ? PROPLET_OK : PROPLET_REFUSED;
}

static int derive(void *ctx, const uint8_t key[32], const uint8_t *salt, size_t salt_len,
		  const void *info, size_t info_len, uint8_t *out, size_t len)
{
	ARG_UNUSED(ctx);
	return mbedtls_hkdf(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), salt, salt_len, key, 32,
			    info, info_len, out, len) == 0
		       ? PROPLET_OK
		       : PROPLET_BROKEN;
}

static int unseal(void *ctx, const uint8_t key[32], const uint8_t nonce[12], const void *aad,
		  size_t aad_len, const uint8_t *sealed, size_t len, uint8_t *out)
{
	mbedtls_chachapoly_context cipher;
	int error;

	ARG_UNUSED(ctx);
	mbedtls_chachapoly_init(&cipher);
	error = mbedtls_chachapoly_setkey(&cipher, key);
	error = error ? error
		      : mbedtls_chachapoly_auth_decrypt(&cipher, len - TAG, nonce, aad, aad_len,
							sealed + len - TAG, sealed, out);
	mbedtls_chachapoly_free(&cipher);
	return error == 0 ? PROPLET_OK : PROPLET_REFUSED;
}

void boxes_fill(struct proplet_port *port)
{
	port->agree = agree;
	port->derive = derive;
	port->unseal = unseal;
}
