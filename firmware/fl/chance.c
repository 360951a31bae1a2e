/* See chance.h. */
#include "chance.h"

#include <string.h>

#define BLOCK 64 /* of SHA-256 */

static bool half(const struct proplet_port *port, const uint8_t *seed, uint8_t pad,
		 const void *text, size_t len, uint8_t out[32])
{
	struct proplet_hash state;
	uint8_t key[BLOCK];

	memset(key, pad, sizeof(key));
	for (unsigned i = 0; i < PF_SEED; i++) {
		key[i] = (uint8_t)(key[i] ^ seed[i]);
	}
	return port->hash_begin(port->ctx, &state) == PROPLET_OK &&
	       port->hash_add(port->ctx, &state, key, sizeof(key)) == PROPLET_OK &&
	       port->hash_add(port->ctx, &state, text, len) == PROPLET_OK &&
	       port->hash_end(port->ctx, &state, out) == PROPLET_OK;
}

bool pf_hmac(const struct proplet_port *port, const uint8_t seed[PF_SEED], const void *text,
	     size_t len, uint8_t out[32])
{
	uint8_t inner[32];

	return half(port, seed, 0x36, text, len, inner) &&
	       half(port, seed, 0x5C, inner, sizeof(inner), out);
}

static bool next_block(struct pf_dice *dice, const struct proplet_port *port, const uint8_t *seed)
{
	uint8_t text[32 + 9];
	size_t len = strlen(dice->label);

	memcpy(text, dice->label, len);
	text[len++] = 0;
	for (unsigned i = 0; i < 8; i++) {
		text[len++] = (uint8_t)(dice->block >> (8 * i));
	}
	dice->block++;
	dice->left = sizeof(dice->bytes);
	return pf_hmac(port, seed, text, len, dice->bytes);
}

bool pf_dice_take(struct pf_dice *dice, const struct proplet_port *port,
		  const uint8_t seed[PF_SEED], uint8_t *to, size_t len)
{
	while (len > 0) {
		size_t some;

		if (dice->left == 0 && !next_block(dice, port, seed)) {
			return false;
		}
		some = len < dice->left ? len : dice->left;
		memcpy(to, dice->bytes + sizeof(dice->bytes) - dice->left, some);
		dice->left = (uint8_t)(dice->left - some);
		to += some;
		len -= some;
	}
	return true;
}

/* -- Philox -------------------------------------------------------------------------------- */

static uint64_t high(uint64_t a, uint64_t b)
{
	const uint64_t low = (a & UINT32_MAX) * (b & UINT32_MAX);
	const uint64_t one = (a >> 32) * (b & UINT32_MAX) + (low >> 32);
	const uint64_t two = (a & UINT32_MAX) * (b >> 32) + (one & UINT32_MAX);

	return (a >> 32) * (b >> 32) + (one >> 32) + (two >> 32);
}

static void make(struct pf_philox *p)
{
	static const uint64_t m0 = 0xD2E7470EE14C6C93, m1 = 0xCA5A826395121157;
	static const uint64_t w0 = 0x9E3779B97F4A7C15, w1 = 0xBB67AE8584CAA73B;
	uint64_t k0 = p->key[0], k1 = p->key[1];

	for (unsigned i = 0; i < 4 && ++p->counter[i] == 0; i++) {
	}
	memcpy(p->made, p->counter, sizeof(p->made));
	for (unsigned round = 0; round < 10; round++) {
		const uint64_t first = p->made[0], third = p->made[2];

		p->made[0] = high(m1, third) ^ p->made[1] ^ k0;
		p->made[1] = m1 * third;
		p->made[2] = high(m0, first) ^ p->made[3] ^ k1;
		p->made[3] = m0 * first;
		k0 += w0;
		k1 += w1;
	}
	p->at = 0;
}

void pf_philox_init(struct pf_philox *p, const uint8_t key[16])
{
	memset(p, 0, sizeof(*p));
	for (unsigned i = 0; i < 16; i++) {
		p->key[i / 8] |= (uint64_t)key[i] << (8 * (i % 8));
	}
	p->at = 4;
}

float pf_philox_unit(struct pf_philox *p)
{
	uint32_t drawn = p->half;

	if (!p->has_half) {
		if (p->at == 4) {
			make(p);
		}
		drawn = (uint32_t)p->made[p->at];
		p->half = (uint32_t)(p->made[p->at] >> 32);
		p->at++;
	}
	p->has_half = !p->has_half;
	return (float)(drawn >> 8) * (1.0f / 16777216.0f);
}
