/*
 * The chance of a round: numbers that depend on its seed alone, so that a round can be replayed.
 * The twin of `Dice` in proplet/runtime/virtual.py and of numpy's Philox generator.
 */
#ifndef PROPLET_FL_CHANCE_H
#define PROPLET_FL_CHANCE_H

#include "proplet/port.h"

#define PF_SEED 8 /* bytes of a round's seed */

/* HMAC-SHA256 under a seed, by the hash of the port. False where that fails. */
bool pf_hmac(const struct proplet_port *port, const uint8_t seed[PF_SEED], const void *text,
	     size_t len, uint8_t out[32]);

/* Bytes from a seed: block n is HMAC-SHA256(seed, label, 0, n as u64 little-endian). */
struct pf_dice {
	const char *label; /* of at most 32 bytes */
	uint64_t block;
	uint8_t bytes[32];
	uint8_t left; /* of bytes, at their end */
};

bool pf_dice_take(struct pf_dice *dice, const struct proplet_port *port,
		  const uint8_t seed[PF_SEED], uint8_t *to, size_t len);

/*
 * Philox4x64 with ten rounds (Salmon et al., SC 2011) as numpy's `Generator.random(float32)` draws
 * from it: halves of 64 bits, low half first, the upper 24 bits of each.
 */
struct pf_philox {
	uint64_t key[2], counter[4], made[4];
	uint32_t half;
	uint8_t at;
	bool has_half;
};

/* key: 128 bits, little-endian. */
void pf_philox_init(struct pf_philox *philox, const uint8_t key[16]);
float pf_philox_unit(struct pf_philox *philox); /* in [0, 1) */

#endif
