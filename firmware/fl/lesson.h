/*
 * A guest that trains: what it may import as `propeller_fl`, and what becomes of what it leaves
 * behind. The twin of proplet/runtime/training.py and proplet/training.py. A runner (runner.h) asks
 * `check` before anything is started, `begin` and `finish` around the guest; the guest's thread calls
 * the imports (imports.c) in between.
 *
 * Of the port, the guest's thread uses the hash calls, with a state of its own.
 */
#ifndef PROPLET_FL_LESSON_H
#define PROPLET_FL_LESSON_H

#include "model.h"
#include "runner.h"
#include "update.h"

/* What every record of a device looks like: values of 4 bytes; `records` in all. */
struct proplet_shape {
	uint32_t features, labels;
	uint64_t records;
};

/* Where a device keeps what it trains on. */
struct proplet_records {
	void *ctx;
	/* The records for a step, ready to be read for the guest of this slot. mount: the name by which
	 * the entry asks for them, one of those in hello (proplet_config). PROPLET_REFUSED and why in
	 * words where they are broken; no records at all is a shape of zeros. */
	int (*open)(void *ctx, uint8_t slot, struct proplet_text mount, bool evaluate,
		    struct proplet_shape *shape, char *why, size_t cap);
	/* Bytes of all records one after the other, from `off`. Called on the guest's thread. */
	int (*read)(void *ctx, uint8_t slot, uint64_t off, void *buf, size_t len);
	void (*close)(void *ctx, uint8_t slot);
};

struct proplet_school {
	struct proplet_lessons lessons; /* for proplet_runner_teach */
	const struct proplet_port *port;
	const struct proplet_os *os;
	const struct proplet_records *records; /* NULL: it trains without data */
	uint64_t room; /* bytes that one guest's model and update may take besides its own memory */
};

void proplet_school_init(struct proplet_school *school, const struct proplet_port *port,
			 const struct proplet_os *os, const struct proplet_records *records,
			 uint64_t room);

/* One guest in one step of a round; in memory that the runner's `take` gave. */
struct proplet_lesson {
	const struct proplet_school *school;
	struct pp_view fl; /* the round as the entry says it: a copy behind this struct */
	uint8_t slot;
	bool evaluate, has_base, has_count, opened, said;
	enum pf_encoding format;
	struct pf_update update; /* what the envelope will say */
	uint8_t seed[PF_SEED];
	uint32_t count;
	uint8_t *base; /* f32 little-endian; NULL: zeros */
	struct pf_dice numbers, bytes;
	uint64_t now; /* ns of the clock that the guest sees */
	struct pf_metrics metrics;
	struct proplet_shape shape;
	uint64_t next; /* byte of the records that is read next */
	uint64_t samples;
	uint8_t *body; /* of the update, room for the envelope around it; NULL until submit */
	uint8_t *held; /* what was taken for it */
	uint32_t body_size;
};

/* Bytes of one record. */
static inline uint64_t proplet_record_size(const struct proplet_shape *shape)
{
	return 4 * ((uint64_t)shape->features + shape->labels);
}

/* submit: NULL, or the words of a refusal, in `words` of PROPLET_TEXT_MAX bytes. */
const char *proplet_lesson_submit(struct proplet_lesson *lesson, uint32_t encoding,
				  const uint8_t *data, uint32_t len, int64_t samples, char *words);

#endif
