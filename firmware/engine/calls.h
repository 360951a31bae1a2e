/* What natives do with a call: its arguments, and numbers in the guest's memory, little-endian. */
#ifndef PROPLET_CALLS_H
#define PROPLET_CALLS_H

#include "natives.h"

static inline uint32_t arg(const struct proplet_call *call, int number)
{
	return (uint32_t)call->args[number];
}

/* Bytes of the guest, NULL where they are not all within its memory. */
static inline uint8_t *at(const struct proplet_call *call, uint64_t address, uint64_t size)
{
	return proplet_at(call->memory, address, size);
}

static inline void put(uint8_t *to, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++) {
		to[i] = (uint8_t)(value >> (8 * i));
	}
}

static inline uint64_t get(const uint8_t *from, unsigned bytes)
{
	uint64_t value = 0;

	for (unsigned i = bytes; i-- > 0;) {
		value = value << 8 | from[i];
	}
	return value;
}

#endif
