/*
 * Cryptography by PSA, in place of keys.c and agree.c, where Mbed TLS is 4 or newer (Zephyr from 4.4
 * on): it has no other door. The same records, so a device that is updated keeps its keys.
 */
#include <psa/crypto.h>
#include <string.h>
#include <zephyr/kernel.h>
#include <zephyr/logging/log.h>
#include <zephyr/random/random.h>
#include <zephyr/sys/base64.h>

#if defined(CONFIG_PROPLET_SECRETS)
#include "boxes.h"
#endif
#include "identity.h"
#include "keys.h"
#include "store.h"

LOG_MODULE_REGISTER(proplet_keys, CONFIG_PROPLET_LOG_LEVEL);

BUILD_ASSERT(sizeof(psa_hash_operation_t) <= sizeof(struct proplet_hash), "hash state");

#define ECDSA PSA_ALG_ECDSA(PSA_ALG_SHA_256)

static psa_key_id_t signer;
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

static void describe(psa_key_attributes_t *as, psa_key_type_t type, psa_key_usage_t usage,
		     psa_algorithm_t alg)
{
	psa_set_key_type(as, type);
	psa_set_key_usage_flags(as, usage);
	psa_set_key_algorithm(as, alg);
}

/* The private key in a record, made where there is none. */
static bool own(uint16_t record, psa_key_usage_t usage, psa_algorithm_t alg, psa_key_id_t *key)
{
	psa_key_attributes_t as = PSA_KEY_ATTRIBUTES_INIT;
	uint8_t raw[32];
	size_t len;
	int found = store_get(record, raw, sizeof(raw), &len);
	bool fine;

	describe(&as, PSA_KEY_TYPE_ECC_KEY_PAIR(PSA_ECC_FAMILY_SECP_R1),
		 usage | PSA_KEY_USAGE_EXPORT, alg);
	psa_set_key_bits(&as, 256);
	if (found == PROPLET_OK && len == sizeof(raw)) {
		fine = psa_import_key(&as, raw, len, key) == PSA_SUCCESS;
	} else {
		fine = found == PROPLET_MISSING && psa_generate_key(&as, key) == PSA_SUCCESS &&
		       psa_export_key(*key, raw, sizeof(raw), &len) == PSA_SUCCESS &&
		       store_put(record, raw, len) == PROPLET_OK;
	}
	proplet_wipe(raw, sizeof(raw));
	return fine;
}

static bool spell(psa_key_id_t key, char to[KEYS_TEXT])
{
	uint8_t raw[KEYS_POINT];
	size_t len, wrote;

	strcpy(to, "p256:");
	return psa_export_public_key(key, raw, sizeof(raw), &len) == PSA_SUCCESS &&
	       base64_encode((uint8_t *)to + 5, KEYS_TEXT - 5, &wrote, raw, len) == 0;
}

bool keys_open(void)
{
	if (psa_crypto_init() != PSA_SUCCESS ||
	    !own(IDENTITY_KEY, PSA_KEY_USAGE_SIGN_MESSAGE, ECDSA, &signer)) {
		LOG_ERR("no key of its own can be made");
		return false;
	}
	return spell(signer, text);
}

const char *keys_text(void)
{
	return text;
}

static int hash_begin(void *ctx, struct proplet_hash *state)
{
	psa_hash_operation_t *sha = (void *)state;

	ARG_UNUSED(ctx);
	*sha = psa_hash_operation_init();
	return psa_hash_setup(sha, PSA_ALG_SHA_256) == PSA_SUCCESS ? PROPLET_OK : PROPLET_BROKEN;
}

static int hash_add(void *ctx, struct proplet_hash *state, const void *data, size_t len)
{
	ARG_UNUSED(ctx);
	return psa_hash_update((void *)state, data, len) == PSA_SUCCESS ? PROPLET_OK
									: PROPLET_BROKEN;
}

static int hash_end(void *ctx, struct proplet_hash *state, uint8_t digest[32])
{
	size_t len;

	ARG_UNUSED(ctx);
	return psa_hash_finish((void *)state, digest, 32, &len) == PSA_SUCCESS ? PROPLET_OK
									       : PROPLET_BROKEN;
}

static int verify(void *ctx, enum proplet_alg alg, const uint8_t *pub, size_t pub_len,
		  const uint8_t sig[64], const void *msg, size_t len)
{
	psa_key_attributes_t as = PSA_KEY_ATTRIBUTES_INIT;
	psa_key_id_t key;
	psa_status_t status;

	ARG_UNUSED(ctx);
	if (alg != PROPLET_P256) {
		return PROPLET_MISSING;
	}
	describe(&as, PSA_KEY_TYPE_ECC_PUBLIC_KEY(PSA_ECC_FAMILY_SECP_R1),
		 PSA_KEY_USAGE_VERIFY_MESSAGE, ECDSA);
	if (psa_import_key(&as, pub, pub_len, &key) != PSA_SUCCESS) {
		return PROPLET_REFUSED; /* no point of the curve */
	}
	status = psa_verify_message(key, ECDSA, msg, len, sig, 64);
	psa_destroy_key(key);
	return status == PSA_SUCCESS ? PROPLET_OK : PROPLET_REFUSED;
}

static int sign(void *ctx, uint8_t sig[64], const void *msg, size_t len)
{
	size_t wrote;

	ARG_UNUSED(ctx);
	return psa_sign_message(signer, ECDSA, msg, len, sig, 64, &wrote) == PSA_SUCCESS &&
			       wrote == 64
		       ? PROPLET_OK
		       : PROPLET_BROKEN;
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

/* -- secrets ------------------------------------------------------------------------------- */

#if defined(CONFIG_PROPLET_SECRETS)
static psa_key_id_t box;
static char box_text[KEYS_TEXT];

bool boxes_open(void)
{
	if (!own(IDENTITY_BOX, PSA_KEY_USAGE_DERIVE, PSA_ALG_ECDH, &box) || !spell(box, box_text)) {
		LOG_ERR("no encryption key of its own can be made");
		return false;
	}
	return true;
}

const char *boxes_text(void)
{
	return box_text;
}

static int agree(void *ctx, const uint8_t *pub, size_t pub_len, uint8_t shared[32])
{
	size_t len;

	ARG_UNUSED(ctx);
	return psa_raw_key_agreement(PSA_ALG_ECDH, box, pub, pub_len, shared, 32, &len) ==
			       PSA_SUCCESS
		       ? PROPLET_OK
		       : PROPLET_REFUSED;
}

static int derive(void *ctx, const uint8_t key[32], const uint8_t *salt, size_t salt_len,
		  const void *info, size_t info_len, uint8_t *out, size_t len)
{
	psa_key_derivation_operation_t hkdf = PSA_KEY_DERIVATION_OPERATION_INIT;
	psa_status_t status = psa_key_derivation_setup(&hkdf, PSA_ALG_HKDF(PSA_ALG_SHA_256));

	ARG_UNUSED(ctx);
	status = status ? status
			: psa_key_derivation_input_bytes(&hkdf, PSA_KEY_DERIVATION_INPUT_SALT, salt,
							 salt_len);
	status = status ? status
			: psa_key_derivation_input_bytes(&hkdf, PSA_KEY_DERIVATION_INPUT_SECRET,
							 key, 32);
	status = status ? status
			: psa_key_derivation_input_bytes(&hkdf, PSA_KEY_DERIVATION_INPUT_INFO, info,
							 info_len);
	status = status ? status : psa_key_derivation_output_bytes(&hkdf, out, len);
	psa_key_derivation_abort(&hkdf);
	return status == PSA_SUCCESS ? PROPLET_OK : PROPLET_BROKEN;
}

static int unseal(void *ctx, const uint8_t key[32], const uint8_t nonce[12], const void *aad,
		  size_t aad_len, const uint8_t *sealed, size_t len, uint8_t *out)
{
	psa_key_attributes_t as = PSA_KEY_ATTRIBUTES_INIT;
	psa_key_id_t cipher;
	psa_status_t status;
	size_t wrote;

	ARG_UNUSED(ctx);
	describe(&as, PSA_KEY_TYPE_CHACHA20, PSA_KEY_USAGE_DECRYPT, PSA_ALG_CHACHA20_POLY1305);
	if (psa_import_key(&as, key, 32, &cipher) != PSA_SUCCESS) {
		return PROPLET_REFUSED;
	}
	status = psa_aead_decrypt(cipher, PSA_ALG_CHACHA20_POLY1305, nonce, 12, aad, aad_len, sealed,
				  len, out, len - 16, &wrote);
	psa_destroy_key(cipher);
	return status == PSA_SUCCESS ? PROPLET_OK : PROPLET_REFUSED;
}

void boxes_fill(struct proplet_port *port)
{
	port->agree = agree;
	port->derive = derive;
	port->unseal = unseal;
}
#endif
