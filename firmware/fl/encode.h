/*
 * Bodies of updates: from what a guest submits to the round's own encoding, byte for byte as
 * propeller/fl/encodings.py makes them. No allocation; bytes are little-endian wherever they lie.
 */
#ifndef PROPLET_FL_ENCODE_H
#define PROPLET_FL_ENCODE_H

#include "chance.h"

enum pf_encoding {
	PF_NONE = 0,
	PF_F32_DELTA = 1,
	PF_F32_FULL = 2,
	PF_Q8_DELTA = 5,
	PF_Q4_DELTA = 6
};

/* By the name that specs use; PF_NONE for one that is not made here. */
enum pf_encoding pf_encoding_named(struct proplet_text name);
/* The same by number, for what a module hands over. */
enum pf_encoding pf_encoding_numbered(uint32_t number);
const char *pf_encoding_name(enum pf_encoding encoding);

/* Bytes of a body of so many parameters. */
uint64_t pf_body_size(enum pf_encoding encoding, uint32_t count);

/* What was handed over. base: the model before training, 4 bytes a parameter; NULL: zeros. */
struct pf_given {
	enum pf_encoding encoding;
	const uint8_t *body; /* pf_body_size() bytes */
	const uint8_t *base;
	uint32_t count;
};

/* NULL, or what is wrong with it in words. */
const char *pf_given_wrong(const struct pf_given *given);

/*
 * Writes the delta of what was checked as a body of `encoding`. q8-delta and q4-delta round by
 * chance with `philox`, as numpy would (QSGD: the mean of what is sent is the value), in blocks of
 * 1024 with a scale each. NULL, or what is wrong in words.
 */
const char *pf_encode(const struct pf_given *given, enum pf_encoding encoding,
		      struct pf_philox *philox, uint8_t *to);

#endif
