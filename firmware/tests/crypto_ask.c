/*
 * A port's cryptography from a process beside this one, for 32-bit tests: no 32-bit library is needed.
 * The process (tests/firmware/oracle.py, named by ORACLE) reads one line a question and answers one:
 *
 *     hash <hex>                        <digest hex>
 *     verify <alg> <pub> <sig> <msg>    yes | no
 *     sign <seed> <msg>                 <signature hex>
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
