/*
 * What guests may import, once for every engine: WASI's output, input, arguments, environment,
 * clock, chance, waiting and leaving. No file and no socket reaches a guest: the rest of WASI is
 * there so that modules link, and answers that there is no such thing.
 *
 * Called by the engines with 64-bit slots: i32 and f32 lie in the low half.
 */
#ifndef PROPLET_NATIVES_H
#define PROPLET_NATIVES_H

#include "runtime.h"

/* The guest's linear memory as it is for this one call. `data` is NULL where it exports none. */
struct proplet_linear {
	uint8_t *data;
	uint64_t size;
};

enum proplet_after {
	PROPLET_GO_ON,
	PROPLET_LEAVE, /* end the guest now: why and exit are in the job, words in `words` */
};

struct proplet_call {
	struct proplet_job *job;
	struct proplet_linear memory;
	const uint64_t *args;
	uint64_t result;
	char *words; /* for LEAVE where `why` is REFUSED, of PROPLET_TEXT_MAX bytes */
};

struct proplet_native {
	const char *module;
	const char *name;
	const char *types; /* parameters, ':', result or nothing: i I f F for i32 i64 f32 f64 */
	enum proplet_after (*call)(struct proplet_call *call);
};

extern const struct proplet_native proplet_natives[];
extern const size_t proplet_natives_count;

/* Bytes of the guest, NULL where they are not all within its memory. */
uint8_t *proplet_at(struct proplet_linear memory, uint64_t at, uint64_t size);

/* Whether the guest must end now, by its time or by somebody's word. */
bool proplet_over(struct proplet_job *job);

#endif
