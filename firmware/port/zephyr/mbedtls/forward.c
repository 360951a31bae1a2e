/* AES in one direction: GCM decrypts by encrypting its counter (CONFIG_PROPLET_TLS_SMALL). */
#include <mbedtls/aes.h>

int mbedtls_aes_setkey_dec(mbedtls_aes_context *ctx, const unsigned char *key, unsigned int keybits)
{
	(void)ctx;
	(void)key;
	(void)keybits;
	return MBEDTLS_ERR_AES_BAD_INPUT_DATA;
}

int mbedtls_internal_aes_decrypt(mbedtls_aes_context *ctx, const unsigned char input[16],
				 unsigned char output[16])
{
	(void)ctx;
	(void)input;
	(void)output;
	return MBEDTLS_ERR_AES_BAD_INPUT_DATA;
}
