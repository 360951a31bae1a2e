/*
 * A port's cryptography from a process beside this one, for 32-bit tests: no 32-bit library is needed.
 * The process (tests/firmware/oracle.py, named by ORACLE) reads one line a question and answers one:
 *
 *     hash <hex>                        <digest hex>
 *     verify <alg> <pub> <sig> <msg>    yes | no
 *     sign <seed> <msg>                 <signature hex>
 *     agree <key> <pub>                 <shared hex> | no
 *     public <key> <size>               <public hex>
 *     derive <secret> <salt> <info> <n> <hex>
 *     unseal <key> <nonce> <aad> <in>   <value hex> | no
 *     encrypt <key> <nonce> <aad> <in>  <hex>
 *
 * Nothing is spelled "-".
 *
 * A hash state is a place in a table of what was added.
 */
#define _DEFAULT_SOURCE
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

#include "harness.h"

#define STATES 16
#define MOST (1 << 17)

static struct {
	uint8_t data[MOST];
	size_t len;
} states[STATES];
static unsigned next_state;
static FILE *to, *from;

static void begin(void)
{
	int down[2], up[2];

	if (pipe(down) != 0 || pipe(up) != 0) {
		abort();
	}
	if (fork() == 0) {
		dup2(down[0], 0);
		dup2(up[1], 1);
		close(down[1]);
		close(up[0]);
		execlp(getenv("PYTHON"), "python", getenv("ORACLE"), (char *)NULL);
		_exit(127);
	}
	close(down[0]);
	close(up[1]);
	to = fdopen(down[1], "w");
	from = fdopen(up[0], "r");
}

static void put_hex(const uint8_t *data, size_t len)
{
	fputc(' ', to);
	if (len == 0) {
		fputc('-', to);
	}
	for (size_t i = 0; i < len; i++) {
		fprintf(to, "%02x", data[i]);
	}
}

static void answer(char *line, size_t cap)
{
	fputc('\n', to);
	fflush(to);
	if (fgets(line, (int)cap, from) == NULL) {
		fprintf(stderr, "the oracle is gone\n");
		exit(2);
	}
}

static void from_hex(const char *line, uint8_t *out, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned byte = 0;

		sscanf(line + 2 * i, "%2x", &byte);
		out[i] = (uint8_t)byte;
	}
}

static unsigned place_of(const struct proplet_hash *state)
{
	return (unsigned)state->opaque[0];
}

int crypto_hash_begin(void *ctx, struct proplet_hash *state)
{
	(void)ctx;
	state->opaque[0] = next_state++ % STATES;
	states[place_of(state)].len = 0;
	return PROPLET_OK;
}

int crypto_hash_add(void *ctx, struct proplet_hash *state, const void *data, size_t len)
{
	const unsigned i = place_of(state);

	(void)ctx;
	if (len > MOST - states[i].len) {
		return PROPLET_FULL;
	}
	if (len > 0) {
		memcpy(states[i].data + states[i].len, data, len);
	}
	states[i].len += len;
	return PROPLET_OK;
}

int crypto_hash_end(void *ctx, struct proplet_hash *state, uint8_t digest[32])
{
	char line[256];

	(void)ctx;
	if (to == NULL) {
		begin();
	}
	fputs("hash", to);
	put_hex(states[place_of(state)].data, states[place_of(state)].len);
	answer(line, sizeof line);
	from_hex(line, digest, 32);
	return PROPLET_OK;
}

int crypto_verify(void *ctx, enum proplet_alg alg, const uint8_t *pub, size_t pub_len,
		  const uint8_t sig[64], const void *msg, size_t len)
{
	char line[256];

	(void)ctx;
	if (to == NULL) {
		begin();
	}
	fprintf(to, "verify %d", (int)alg);
	put_hex(pub, pub_len);
	put_hex(sig, 64);
	put_hex(msg, len);
	answer(line, sizeof line);
	return strcmp(line, "yes\n") == 0 ? PROPLET_OK : PROPLET_REFUSED;
}

int crypto_sign(const uint8_t seed[32], uint8_t sig[64], const void *msg, size_t len)
{
	char line[256];

	if (to == NULL) {
		begin();
	}
	fputs("sign", to);
	put_hex(seed, 32);
	put_hex(msg, len);
	answer(line, sizeof line);
	from_hex(line, sig, 64);
	return PROPLET_OK;
}

/* -- secrets ------------------------------------------------------------------------------------ */

static char line[2 * MOST + 64];

static void ask(const char *what)
{
	if (to == NULL) {
		begin();
	}
	fputs(what, to);
}

static bool told(uint8_t *out, size_t len)
{
	answer(line, sizeof line);
	if (strcmp(line, "no\n") == 0) {
		return false;
	}
	from_hex(line, out, len);
	return true;
}

int crypto_agree(const uint8_t key[32], const uint8_t *pub, size_t pub_len, uint8_t shared[32])
{
	ask("agree");
	put_hex(key, 32);
	put_hex(pub, pub_len);
	return told(shared, 32) ? PROPLET_OK : PROPLET_REFUSED;
}

void crypto_public(const uint8_t key[32], uint8_t *pub, size_t pub_len)
{
	const uint8_t size = (uint8_t)pub_len;

	ask("public");
	put_hex(key, 32);
	put_hex(&size, 1);
	(void)told(pub, pub_len);
}

int crypto_derive(void *ctx, const uint8_t secret[32], const uint8_t *salt, size_t salt_len,
		  const void *info, size_t info_len, uint8_t *out, size_t len)
{
	const uint8_t size = (uint8_t)len;

	(void)ctx;
	ask("derive");
	put_hex(secret, 32);
	put_hex(salt, salt_len);
	put_hex(info, info_len);
	put_hex(&size, 1);
	return told(out, len) ? PROPLET_OK : PROPLET_BROKEN;
}

int crypto_unseal(void *ctx, const uint8_t key[32], const uint8_t nonce[12], const void *aad,
		  size_t aad_len, const uint8_t *sealed, size_t len, uint8_t *out)
{
	(void)ctx;
	ask("unseal");
	put_hex(key, 32);
	put_hex(nonce, 12);
	put_hex(aad, aad_len);
	put_hex(sealed, len);
	return told(out, len - 16) ? PROPLET_OK : PROPLET_REFUSED;
}

void crypto_encrypt(const uint8_t key[32], const uint8_t nonce[12], const void *aad, size_t aad_len,
		    const uint8_t *value, size_t len, uint8_t *out)
{
	ask("encrypt");
	put_hex(key, 32);
	put_hex(nonce, 12);
	put_hex(aad, aad_len);
	put_hex(value, len);
	(void)told(out, len + 16);
}
