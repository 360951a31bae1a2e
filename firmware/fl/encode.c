/* See encode.h. */
#include "encode.h"

#include <string.h>

#define BLOCK 1024u /* elements that share a scale */

static const char not_finite[] = "not-finite: a NaN or an infinity";

static const struct {
	enum pf_encoding encoding;
	const char *name;
} known[] = {
	{PF_F32_DELTA, "f32-delta"},
	{PF_F32_FULL, "f32-full"},
	{PF_Q8_DELTA, "q8-delta"},
	{PF_Q4_DELTA, "q4-delta"},
};

enum pf_encoding pf_encoding_named(struct proplet_text name)
{
	for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strlen(known[i].name) == name.len &&
		    memcmp(known[i].name, name.at, name.len) == 0) {
			return known[i].encoding;
		}
	}
	return PF_NONE;
}

enum pf_encoding pf_encoding_numbered(uint32_t number)
{
	for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if ((uint32_t)known[i].encoding == number) {
			return known[i].encoding;
		}
	}
	return PF_NONE;
}

const char *pf_encoding_name(enum pf_encoding encoding)
{
	for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (known[i].encoding == encoding) {
			return known[i].name;
		}
	}
	return "none";
}

static uint32_t bits_at(const uint8_t *at)
{
	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
	       (uint32_t)at[3] << 24;
}

static float float_at(const uint8_t *at)
{
	const uint32_t bits = bits_at(at);
	float value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static bool finite_bits(uint32_t bits)
{
	return (bits & 0x7F800000) != 0x7F800000;
}

static bool put_float(uint8_t *at, float value)
{
	uint32_t bits;

	memcpy(&bits, &value, sizeof(bits));
	for (unsigned i = 0; i < 4; i++) {
		at[i] = (uint8_t)(bits >> (8 * i));
	}
	return finite_bits(bits);
}

/* Bytes of the block that has `count` elements, its scale included. */
static uint32_t block_size(enum pf_encoding encoding, uint32_t count)
{
	return 4 + (encoding == PF_Q8_DELTA ? count : (count + 1) / 2);
}

uint64_t pf_body_size(enum pf_encoding encoding, uint32_t count)
{
	const uint32_t rest = count % BLOCK;

	if (encoding == PF_F32_DELTA || encoding == PF_F32_FULL) {
		return 4 * (uint64_t)count;
	}
	return (uint64_t)(count / BLOCK) * block_size(encoding, BLOCK) +
	       (rest == 0 ? 0 : block_size(encoding, rest));
}

static int level_of(const struct pf_given *given, const uint8_t *levels, uint32_t index)
{
	unsigned nibble;

	if (given->encoding == PF_Q8_DELTA) {
		return levels[index] < 128 ? levels[index] : levels[index] - 256;
	}
	nibble = index % 2 == 0 ? levels[index / 2] & 0x0Fu : (unsigned)levels[index / 2] >> 4;
	return nibble < 8 ? (int)nibble : (int)nibble - 16;
}

/* The change of parameter `index`; not finite where it does not fit an f32. */
static float delta_at(const struct pf_given *given, uint32_t index)
{
	const uint8_t *block;
	float value;

	switch (given->encoding) {
	case PF_F32_DELTA:
		return float_at(given->body + 4 * (size_t)index);
	case PF_F32_FULL:
		value = float_at(given->body + 4 * (size_t)index);
		if (given->base != NULL) { /* one rounding */
			const double before = (double)float_at(given->base + 4 * (size_t)index);

			value = (float)((double)value - before);
		}
		return value;
	default:
		block = given->body +
			(size_t)(index / BLOCK) * block_size(given->encoding, BLOCK);
		value = (float)level_of(given, block + 4, index % BLOCK);
		return value * float_at(block);
	}
}

static const char *scales_wrong(const struct pf_given *given)
{
	const uint8_t *at = given->body;

	for (uint32_t start = 0; start < given->count; start += BLOCK) {
		const uint32_t left = given->count - start;
		const uint32_t n = left < BLOCK ? left : BLOCK;
		const int least = given->encoding == PF_Q8_DELTA ? -127 : -7;

		if ((bits_at(at) & 0x80000000) != 0 || !finite_bits(bits_at(at))) {
			return "malformed: a scale that is negative or not finite";
		}
		if (given->encoding == PF_Q4_DELTA && n % 2 == 1 &&
		    at[4 + n / 2] >> 4 != 0) {
			return "malformed: a nibble after the end";
		}
		for (uint32_t i = 0; i < n; i++) {
			if (level_of(given, at + 4, i) < least) {
				return least == -127 ? "malformed: a level below -127" : "malformed: a level below -7";
			}
		}
		at += block_size(given->encoding, n);
	}
	return NULL;
}

const char *pf_given_wrong(const struct pf_given *given)
{
	const char *words = NULL;
	uint8_t spare[4];

	if (given->encoding == PF_Q8_DELTA || given->encoding == PF_Q4_DELTA) {
		words = scales_wrong(given);
	}
	for (uint32_t i = 0; words == NULL && i < given->count; i++) {
		words = put_float(spare, delta_at(given, i)) ? NULL : not_finite;
	}
	return words;
}

/* -- writing ------------------------------------------------------------------------------- */

/* The largest change of a block, as it is without its sign. */
static float most_of(const struct pf_given *given, uint32_t start, uint32_t n)
{
	float most = 0;

	for (uint32_t i = 0; i < n; i++) {
		const float value = delta_at(given, start + i);
		const float size = value < 0 ? -value : value;

		most = size > most ? size : most;
	}
	return most;
}

/* floor(x / scale + chance), at most `levels` in size. */
static int rounded(float value, float scale, float chance, int levels)
{
	const double ratio = (double)value / (double)scale;
	const double raw = ratio + (double)chance;
	int whole;

	if (raw >= (double)levels) {
		return levels;
	}
	if (raw <= (double)-levels) {
		return -levels;
	}
	whole = (int)raw;
	return (double)whole > raw ? whole - 1 : whole;
}

static uint8_t *put_block(const struct pf_given *given, uint32_t start, uint32_t n,
			  enum pf_encoding encoding, struct pf_philox *philox, uint8_t *to)
{
	const int levels = encoding == PF_Q8_DELTA ? 127 : 7;
	const float scale = most_of(given, start, n) / (float)levels;

	(void)put_float(to, scale);
	memset(to + 4, 0, block_size(encoding, n) - 4);
	for (uint32_t i = 0; i < n; i++) {
		const float chance = pf_philox_unit(philox); /* drawn whether it is needed or not */
		const int level =
			scale > 0 ? rounded(delta_at(given, start + i), scale, chance, levels) : 0;

		if (encoding == PF_Q8_DELTA) {
			to[4 + i] = (uint8_t)level;
		} else {
			to[4 + i / 2] = (uint8_t)(to[4 + i / 2] |
						  ((unsigned)level & 0x0Fu) << (i % 2 * 4));
		}
	}
	return to + block_size(encoding, n);
}

static const char *put_floats(const struct pf_given *given, enum pf_encoding encoding, uint8_t *to)
{
	for (uint32_t i = 0; i < given->count; i++) {
		float value = delta_at(given, i);

		if (encoding == PF_F32_FULL) {
			value += given->base == NULL ? 0.0f : float_at(given->base + 4 * (size_t)i);
		}
		if (!put_float(to + 4 * (size_t)i, value)) {
			return not_finite;
		}
	}
	return NULL;
}

const char *pf_encode(const struct pf_given *given, enum pf_encoding encoding,
		      struct pf_philox *philox, uint8_t *to)
{
	if (encoding == given->encoding) {
		memcpy(to, given->body, (size_t)pf_body_size(encoding, given->count));
		return NULL;
	}
	if (encoding == PF_F32_DELTA || encoding == PF_F32_FULL) {
		return put_floats(given, encoding, to);
	}
	for (uint32_t start = 0; start < given->count; start += BLOCK) {
		const uint32_t left = given->count - start;

		to = put_block(given, start, left < BLOCK ? left : BLOCK, encoding, philox, to);
	}
	return NULL;
}
