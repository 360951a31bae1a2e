/* A port's cryptography from OpenSSL, for host tests: both algorithms. */
#define OPENSSL_SUPPRESS_DEPRECATED /* SHA256_CTX fits the room a port has; EVP's state is on a heap */
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

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
