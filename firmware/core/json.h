/*
 * Inside of the core: JSON as it stands in memory, walked without a tree. Everything but
 * pp_json_check wants text that was checked.
 */
#ifndef PP_JSON_H
#define PP_JSON_H

#include "proplet/wire.h"

#define PP_JSON_DEPTH 16
#define PP_JSON_END (-1)

/* Strict JSON, one value and white space, nothing else: no floats, no key twice, integers within
 * 2^53-1. */
enum pp_reject pp_json_check(const uint8_t *body, size_t len);
const uint8_t *pp_json_space(const uint8_t *at, const uint8_t *end);
/* Behind the value at `at`. */
const uint8_t *pp_json_skip(const uint8_t *at, const uint8_t *end);
unsigned pp_json_nesting(const uint8_t *at, const uint8_t *end);
/* The next character of a string: *at begins behind the opening quote. PP_JSON_END at the closing
 * one; a lone surrogate comes as itself. */
int32_t pp_json_char(const uint8_t **at);
/* Does the string at `quote` say the ASCII word? */
bool pp_json_is(const uint8_t *quote, const char *word);
int64_t pp_json_int(const uint8_t *at);
/* UTF-8 of a code point; the count of bytes, 1 to 4. */
unsigned pp_utf8_put(uint8_t bytes[4], uint32_t point);

#endif
