#include "base64.h"

static int value_of(char c)
{
	if (c >= 'A' && c <= 'Z') {
		return c - 'A';
	}
	if (c >= 'a' && c <= 'z') {
		return c - 'a' + 26;
	}
	if (c >= '0' && c <= '9') {
		return c - '0' + 52;
	}
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool pp_base64_read(const char *text, size_t len, uint8_t *out, size_t cap, size_t *count)
{
	size_t pad = 0, made = 0;

	if (len % 4 != 0) {
		return false;
	}
	if (len > 0 && text[len - 1] == '=') {
		pad = text[len - 2] == '=' ? 2 : 1;
	}
	*count = len / 4 * 3 - pad;
	if (out != NULL && *count > cap) {
		return false;
	}
	for (size_t i = 0; i < len; i += 4) {
		const size_t ends = i + 4 == len ? pad : 0;
		uint32_t bits = 0;

		for (size_t j = 0; j < 4; j++) {
			const int v = j >= 4 - ends ? 0 : value_of(text[i + j]);

			if (v < 0) {
				return false;
			}
			bits = bits << 6 | (uint32_t)v;
		}
		if ((ends == 1 && (bits & 0xFF) != 0) || (ends == 2 && (bits & 0xFFFF) != 0)) {
			return false; /* loose ends: another text would say the same */
		}
		for (size_t j = 0; j < 3 - ends; j++, made++) {
			if (out != NULL) {
				out[made] = (uint8_t)(bits >> (16 - 8 * j));
			}
		}
	}
	return true;
}

void pp_base64_put(char four[4], const uint8_t *data, size_t len)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32_t bits = 0;

	for (size_t i = 0; i < 3; i++) {
		bits = bits << 8 | (i < len ? data[i] : 0u);
	}
	for (size_t i = 0; i < 4; i++) {
		four[i] = i <= len ? letters[bits >> (18 - 6 * i) & 63] : '=';
	}
}
