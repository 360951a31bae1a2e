/* See p256.h. */
#include "p256.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/params.h>

static EVP_PKEY *key_of(const uint8_t pub[65])
{
	char group[] = "prime256v1";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)(uintptr_t)pub,
						  65),
		OSSL_PARAM_construct_end(),
	};
	EVP_PKEY_CTX *const ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	EVP_PKEY *key = NULL;

	if (ctx != NULL && (EVP_PKEY_fromdata_init(ctx) != 1 ||
			    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)) {
		key = NULL;
	}
	EVP_PKEY_CTX_free(ctx);
	return key;
}

/* As DER, which OpenSSL wants; NULL where there is no memory. */
static unsigned char *der_of(const uint8_t sig[64], int *size)
{
	ECDSA_SIG *const pair = ECDSA_SIG_new();
	BIGNUM *const r = BN_bin2bn(sig, 32, NULL);
	BIGNUM *const s = BN_bin2bn(sig + 32, 32, NULL);
	unsigned char *der = NULL;

	if (pair == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(pair, r, s) != 1) {
		BN_free(r);
		BN_free(s);
		ECDSA_SIG_free(pair);
		return NULL;
	}
	*size = i2d_ECDSA_SIG(pair, &der);
	ECDSA_SIG_free(pair);
	return *size > 0 ? der : NULL;
}

bool p256_verify(const uint8_t pub[65], const uint8_t sig[64], const void *msg, size_t len)
{
	EVP_PKEY *const key = key_of(pub);
	EVP_MD_CTX *const md = EVP_MD_CTX_new();
	int size = 0;
	unsigned char *const der = der_of(sig, &size);
	const bool good = key != NULL && md != NULL && der != NULL &&
			  EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, key) == 1 &&
			  EVP_DigestVerify(md, der, (size_t)size, msg, len) == 1;

	OPENSSL_free(der);
	EVP_MD_CTX_free(md);
	EVP_PKEY_free(key);
	return good;
}
