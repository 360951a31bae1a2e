/* Inside of the core: heads of CBOR, for those who read what is not checked yet. */
#ifndef PP_CBOR_H
#define PP_CBOR_H

#include "proplet/wire.h"

/* The head at *at; false where it is cut short, longer than needed or indefinite. Simple values and
 * floats (major 7) leave *count with the low five bits and *at behind the head byte. */
bool pp_cbor_head(const uint8_t **at, const uint8_t *end, uint8_t *major, uint64_t *count);
/* Behind the value at `at`, which was checked. */
const uint8_t *pp_cbor_skip(const uint8_t *at, const uint8_t *end);
/* Maps and lists inside each other, 0 for a plain value; of checked CBOR. */
unsigned pp_cbor_nesting(const uint8_t *at, const uint8_t *end);
/* Is it UTF-8 without overlong forms and surrogates? */
bool pp_utf8(const uint8_t *at, size_t len);

#endif
