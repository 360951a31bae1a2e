/* Inside of the core: a Wasm binary in storage, read through a small window. */
#ifndef PP_BINARY_H
#define PP_BINARY_H

#include "inside.h"

#define PP_WINDOW_BYTES 64
#define PP_MAX_NAME 4096

/* A cursor that never leaves at..end. After the first fault `bad` is set, `why` says what it was and
 * every read gives 0. */
struct pp_binary {
	const struct proplet_port *port;
	const uint8_t *digest;
	uint32_t at, end;
	uint32_t held_at, held_len;
	uint8_t held[PP_WINDOW_BYTES];
	struct pp_words *why;
	bool bad;
};

void pp_binary_init(struct pp_binary *b, const struct proplet_port *port, const uint8_t *digest,
		    uint32_t size, struct pp_words *why);
/* The first fault counts: begins its words ("" to be followed by more). */
void pp_binary_fault(struct pp_binary *b, const char *words);
uint8_t pp_binary_byte(struct pp_binary *b);
int pp_binary_peek(struct pp_binary *b); /* -1 at the end */
uint64_t pp_binary_unsigned(struct pp_binary *b, unsigned bits);
uint32_t pp_binary_count(struct pp_binary *b, uint32_t most, const char *what);
/* A name: where its bytes stand and how many they are; checked to be UTF-8. */
uint32_t pp_binary_name(struct pp_binary *b, uint32_t *len);
/* Is the text at `at` of `len` bytes the same as `text`? */
bool pp_binary_is(struct pp_binary *b, uint32_t at, uint32_t len, struct proplet_text text);
/* Adds the text to words. */
void pp_binary_tell(struct pp_binary *b, uint32_t at, uint32_t len, struct pp_words *words);
/* The size of the next part, which fits; the cursor stands at its first byte. */
uint32_t pp_binary_part(struct pp_binary *b);

#endif
