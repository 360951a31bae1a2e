/* A port's cryptography from OpenSSL, for host tests: both algorithms. */
#define OPENSSL_SUPPRESS_DEPRECATED /* SHA256_CTX fits the room a port has; EVP's state is on a heap */
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/ecdh.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/sha.h>

#include <stdlib.h>

#include "harness.h"

_Static_assert(sizeof(SHA256_CTX) <= sizeof(struct proplet_hash), "room for a hash state");

int crypto_hash_begin(void *ctx, struct proplet_hash *state)
{
	(void)ctx;
	return SHA256_Init((SHA256_CTX *)state) == 1 ? PROPLET_OK : PROPLET_BROKEN;
}

int crypto_hash_add(void *ctx, struct proplet_hash *state, const void *data, size_t len)
{
	(void)ctx;
	return SHA256_Update((SHA256_CTX *)state, data, len) == 1 ? PROPLET_OK : PROPLET_BROKEN;
}

int crypto_hash_end(void *ctx, struct proplet_hash *state, uint8_t digest[32])
{
	(void)ctx;
	return SHA256_Final(digest, (SHA256_CTX *)state) == 1 ? PROPLET_OK : PROPLET_BROKEN;
}

static bool verify_ed25519(const uint8_t *pub, size_t pub_len, const uint8_t sig[64],
			   const void *msg, size_t len)
{
	EVP_PKEY *const key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, pub, pub_len);
	EVP_MD_CTX *const md = EVP_MD_CTX_new();
	const bool good = key != NULL && EVP_DigestVerifyInit(md, NULL, NULL, NULL, key) == 1 &&
			  EVP_DigestVerify(md, sig, 64, msg, len) == 1;

	EVP_MD_CTX_free(md);
	EVP_PKEY_free(key);
	return good;
}

static bool verify_p256(const uint8_t *pub, size_t pub_len, const uint8_t sig[64], const void *msg,
			size_t len)
{
	EC_KEY *const key = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
	ECDSA_SIG *const pair = ECDSA_SIG_new();
	uint8_t digest[32];
	bool good;

	SHA256(msg, len, digest);
	ECDSA_SIG_set0(pair, BN_bin2bn(sig, 32, NULL), BN_bin2bn(sig + 32, 32, NULL));
	good = EC_KEY_oct2key(key, pub, pub_len, NULL) == 1 &&
	       ECDSA_do_verify(digest, 32, pair, key) == 1;
	ECDSA_SIG_free(pair);
	EC_KEY_free(key);
	return good;
}

int crypto_verify(void *ctx, enum proplet_alg alg, const uint8_t *pub, size_t pub_len,
		  const uint8_t sig[64], const void *msg, size_t len)
{
	(void)ctx;
	return (alg == PROPLET_ED25519 ? verify_ed25519(pub, pub_len, sig, msg, len)
				       : verify_p256(pub, pub_len, sig, msg, len))
		       ? PROPLET_OK
		       : PROPLET_REFUSED;
}

int crypto_sign(const uint8_t seed[32], uint8_t sig[64], const void *msg, size_t len)
{
	EVP_PKEY *const key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
	EVP_MD_CTX *const md = EVP_MD_CTX_new();
	size_t size = 64;
	const bool good = key != NULL && EVP_DigestSignInit(md, NULL, NULL, NULL, key) == 1 &&
			  EVP_DigestSign(md, sig, &size, msg, len) == 1;

	EVP_MD_CTX_free(md);
	EVP_PKEY_free(key);
	return good ? PROPLET_OK : PROPLET_BROKEN;
}

/* -- secrets ------------------------------------------------------------------------------------ */

static EC_KEY *point_key(const uint8_t key[32])
{
	EC_KEY *const made = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);

	if (EC_KEY_oct2priv(made, key, 32) != 1) {
		abort();
	}
	return made;
}

static bool agree_p256(const uint8_t key[32], const uint8_t *pub, uint8_t shared[32])
{
	EC_KEY *const mine = point_key(key), *const theirs = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
	const bool good = EC_KEY_oct2key(theirs, pub, 65, NULL) == 1 &&
			  ECDH_compute_key(shared, 32, EC_KEY_get0_public_key(theirs), mine, NULL) == 32;

	EC_KEY_free(mine);
	EC_KEY_free(theirs);
	return good;
}

static bool agree_x25519(const uint8_t key[32], const uint8_t *pub, uint8_t shared[32])
{
	EVP_PKEY *const mine = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, key, 32);
	EVP_PKEY *const theirs = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, pub, 32);
	EVP_PKEY_CTX *const ctx = EVP_PKEY_CTX_new(mine, NULL);
	size_t size = 32;
	const bool good = EVP_PKEY_derive_init(ctx) == 1 &&
			  EVP_PKEY_derive_set_peer(ctx, theirs) == 1 &&
			  EVP_PKEY_derive(ctx, shared, &size) == 1;

	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(mine);
	EVP_PKEY_free(theirs);
	return good;
}

int crypto_agree(const uint8_t key[32], const uint8_t *pub, size_t pub_len, uint8_t shared[32])
{
	return (pub_len == 32 ? agree_x25519(key, pub, shared) : agree_p256(key, pub, shared))
		       ? PROPLET_OK
		       : PROPLET_REFUSED;
}

void crypto_public(const uint8_t key[32], uint8_t *pub, size_t pub_len)
{
	if (pub_len == 32) {
		EVP_PKEY *const made = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, key, 32);

		(void)EVP_PKEY_get_raw_public_key(made, pub, &pub_len);
		EVP_PKEY_free(made);
	} else {
		EC_KEY *const made = point_key(key);
		const EC_GROUP *const group = EC_KEY_get0_group(made);
		EC_POINT *const point = EC_POINT_new(group);

		(void)EC_POINT_mul(group, point, EC_KEY_get0_private_key(made), NULL, NULL, NULL);
		(void)EC_POINT_point2oct(group, point, POINT_CONVERSION_UNCOMPRESSED, pub, 65, NULL);
		EC_POINT_free(point);
		EC_KEY_free(made);
	}
}

int crypto_derive(void *ctx, const uint8_t secret[32], const uint8_t *salt, size_t salt_len,
		  const void *info, size_t info_len, uint8_t *out, size_t len)
{
	EVP_PKEY_CTX *const kdf = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
	const bool good = EVP_PKEY_derive_init(kdf) == 1 &&
			  EVP_PKEY_CTX_set_hkdf_md(kdf, EVP_sha256()) == 1 &&
			  EVP_PKEY_CTX_set1_hkdf_salt(kdf, salt, (int)salt_len) == 1 &&
			  EVP_PKEY_CTX_set1_hkdf_key(kdf, secret, 32) == 1 &&
			  EVP_PKEY_CTX_add1_hkdf_info(kdf, info, (int)info_len) == 1 &&
			  EVP_PKEY_derive(kdf, out, &len) == 1;

	(void)ctx;
	EVP_PKEY_CTX_free(kdf);
	return good ? PROPLET_OK : PROPLET_BROKEN;
}

static bool chachapoly(bool seal, const uint8_t key[32], const uint8_t nonce[12], const void *aad,
		       size_t aad_len, const uint8_t *in, size_t len, uint8_t tag[16], uint8_t *out)
{
	EVP_CIPHER_CTX *const ctx = EVP_CIPHER_CTX_new();
	int some = 0;
	bool good = EVP_CipherInit_ex(ctx, EVP_chacha20_poly1305(), NULL, key, nonce, seal) == 1 &&
		    EVP_CipherUpdate(ctx, NULL, &some, aad, (int)aad_len) == 1 &&
		    (len == 0 || EVP_CipherUpdate(ctx, out, &some, in, (int)len) == 1) &&
		    (seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, 16, tag) == 1) &&
		    EVP_CipherFinal_ex(ctx, out + len, &some) == 1 &&
		    (!seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, tag) == 1);

	EVP_CIPHER_CTX_free(ctx);
	return good;
}

int crypto_unseal(void *ctx, const uint8_t key[32], const uint8_t nonce[12], const void *aad,
		  size_t aad_len, const uint8_t *sealed, size_t len, uint8_t *out)
{
	uint8_t tag[16];

	(void)ctx;
	memcpy(tag, sealed + len - 16, 16);
	if (chachapoly(false, key, nonce, aad, aad_len, sealed, len - 16, tag, out)) {
		return PROPLET_OK;
	}
	memset(out, 0, len - 16);
	return PROPLET_REFUSED;
}

void crypto_encrypt(const uint8_t key[32], const uint8_t nonce[12], const void *aad, size_t aad_len,
		    const uint8_t *value, size_t len, uint8_t *out)
{
	(void)chachapoly(true, key, nonce, aad, aad_len, value, len, out + len, out);
}
