/* Inside of the core: base64 in its one spelling. */
#ifndef PP_BASE64_H
#define PP_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that `len` characters spell; false unless they are base64 as an encoder writes it. out may
 * be NULL to only check and count. */
bool pp_base64_read(const char *text, size_t len, uint8_t *out, size_t cap, size_t *count);
/* Four characters for up to three bytes. */
void pp_base64_put(char four[4], const uint8_t *data, size_t len);

#endif
