/* Read by Mbed TLS after Zephyr's configuration of it: a client, small before fast. */
#undef MBEDTLS_SSL_SRV_C
#undef MBEDTLS_PEM_WRITE_C

#undef MBEDTLS_AES_FEWER_TABLES
#define MBEDTLS_AES_FEWER_TABLES /* 6 KB less flash */

#undef MBEDTLS_ECP_WINDOW_SIZE
#define MBEDTLS_ECP_WINDOW_SIZE 2 /* 2 KB less heap while a point is multiplied */

#if defined(CONFIG_PROPLET_SECRETS)
#undef MBEDTLS_MD_C
#define MBEDTLS_MD_C
#undef MBEDTLS_HKDF_C
#define MBEDTLS_HKDF_C
#undef MBEDTLS_CHACHA20_C
#define MBEDTLS_CHACHA20_C
#undef MBEDTLS_POLY1305_C
#define MBEDTLS_POLY1305_C
#undef MBEDTLS_CHACHAPOLY_C
#define MBEDTLS_CHACHAPOLY_C
#endif

#if defined(CONFIG_PROPLET_TLS_SMALL) && __has_include(<mbedtls/aes.h>)
#define MBEDTLS_SSL_CIPHERSUITES MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
#define MBEDTLS_AES_SETKEY_DEC_ALT /* forward.c */
#define MBEDTLS_AES_DECRYPT_ALT
#endif
