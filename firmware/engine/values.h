/*
 * Text to Wasm values and back, as the Linux proplet's runtime/values.py does it: integers decimal
 * or 0x, signed or unsigned within their width; floats as 1e3, inf, nan. What is written reads back
 * the same: integers decimal and signed, floats with the fewest digits for their own width.
 */
#ifndef PROPLET_VALUES_H
#define PROPLET_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The bits of `text` as a value of `type` (i I f F), in the low half for i and f. On false `words`
 * says what is wrong, naming the argument by `number`. */
bool proplet_value_read(char type, const char *text, int number, uint64_t *bits, char *words,
			size_t size);

/* Checks that `given` arguments fit `types` (letters only); words as above. */
bool proplet_values_fit(const char *types, size_t given, char *words, size_t size);

/* Writes bits as text, NUL-terminated; returns its length, 0 where it does not fit. */
size_t proplet_value_write(char type, uint64_t bits, char *to, size_t size);

/* Like snprintf into `to + at`, never beyond size; returns the new end. */
size_t proplet_put_text(char *to, size_t size, size_t at, const char *text);

/* `64KiB`, `1000 bytes`; `90s`, `1500ms`: the largest unit that keeps the number whole. */
size_t proplet_put_size(char *to, size_t size, size_t at, uint64_t bytes);
size_t proplet_put_ms(char *to, size_t size, size_t at, uint64_t ms);
size_t proplet_put_number(char *to, size_t size, size_t at, uint64_t number);

#endif
