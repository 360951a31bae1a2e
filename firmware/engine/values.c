/* See values.h. */
#include "values.h"

#include <string.h>

#include "decimal.h"

size_t proplet_put_text(char *to, size_t size, size_t at, const char *text)
{
	while (*text != '\0' && at + 1 < size) {
		to[at++] = *text++;
	}
	if (at < size) {
		to[at] = '\0';
	}
	return at;
}

size_t proplet_put_number(char *to, size_t size, size_t at, uint64_t number)
{
	char digits[21];
	size_t first = sizeof(digits) - 1;

	digits[first] = '\0';
	do {
		digits[--first] = (char)('0' + number % 10);
		number /= 10;
	} while (number != 0);
	return proplet_put_text(to, size, at, digits + first);
}

size_t proplet_put_size(char *to, size_t size, size_t at, uint64_t bytes)
{
	static const char *const units[] = {"GiB", "MiB", "KiB"};

	for (unsigned i = 0; i < 3; i++) {
		unsigned shift = 30 - 10 * i;

		if (bytes != 0 && (bytes & ((1ULL << shift) - 1)) == 0) {
			at = proplet_put_number(to, size, at, bytes >> shift);
			return proplet_put_text(to, size, at, units[i]);
		}
	}
	return proplet_put_text(to, size, proplet_put_number(to, size, at, bytes), " bytes");
}

size_t proplet_put_ms(char *to, size_t size, size_t at, uint64_t ms)
{
	static const struct {
		uint64_t ms;
		const char *name;
	} units[] = {{3600000, "h"}, {60000, "m"}, {1000, "s"}};

	for (unsigned i = 0; i < 3; i++) {
		if (ms != 0 && ms % units[i].ms == 0) {
			at = proplet_put_number(to, size, at, ms / units[i].ms);
			return proplet_put_text(to, size, at, units[i].name);
		}
	}
	return proplet_put_text(to, size, proplet_put_number(to, size, at, ms), "ms");
}

static const char *name_of(char type)
{
	switch (type) {
	case 'i':
		return "i32";
	case 'I':
		return "i64";
	case 'f':
		return "f32";
	case 'F':
		return "f64";
	default:
		return "a type";
	}
}

static bool wrong(int number, const char *text, bool quoted, const char *middle, char type,
		  const char *tail, char *words, size_t size)
{
	char shown[41];
	size_t at = proplet_put_text(words, size, 0, "argument ");

	shown[0] = '\0';
	proplet_put_text(shown, sizeof(shown), 0, text);
	at = proplet_put_number(words, size, at, (uint64_t)number);
	at = proplet_put_text(words, size, at, quoted ? " is '" : " is ");
	at = proplet_put_text(words, size, at, shown);
	at = proplet_put_text(words, size, at, quoted ? "'" : "");
	at = proplet_put_text(words, size, at, middle);
	at = proplet_put_text(words, size, at, name_of(type));
	proplet_put_text(words, size, at, tail);
	return false;
}

static int digit_of(char c)
{
	if (c >= '0' && c <= '9') {
		return c - '0';
	}
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
}

/* 1: read, 0: no integer, -1: does not fit. */
static int read_integer(char type, const char *text, uint64_t *bits)
{
	bool minus = *text == '-';
	uint64_t base = 10;
	uint64_t value = 0;
	bool above = false;
	uint64_t most = type == 'i' ? UINT32_MAX : UINT64_MAX;
	uint64_t least = type == 'i' ? (uint64_t)1 << 31 : (uint64_t)1 << 63;

	if (*text == '-' || *text == '+') {
		text++;
	}
	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
		base = 16;
		text += 2;
	}
	if (*text == '\0') {
		return 0;
	}
	for (; *text != '\0'; text++) {
		uint64_t digit = (uint64_t)digit_of(*text);

		if (digit >= base) {
			return 0;
		}
		above = above || value > (UINT64_MAX - digit) / base;
		value = value * base + digit;
	}
	if (above || value > (minus ? least : most)) {
		return -1;
	}
	value = minus ? (uint64_t)0 - value : value;
	*bits = type == 'i' ? (uint32_t)value : value;
	return 1;
}

#define INFINITE ((uint64_t)0x7FF << 52) /* the bits of an infinite double */

static int read_float(char type, const char *text, uint64_t *bits)
{
	double value;

	if (!proplet_decimal_read(text, &value)) {
		return 0;
	}
	if (type == 'f') {
		float narrow = (float)value;
		uint32_t raw;
		uint64_t wide;

		memcpy(&raw, &narrow, sizeof(raw));
		memcpy(&wide, &value, sizeof(wide));
		if ((raw & 0x7FFFFFFF) == 0x7F800000 && (wide & ~((uint64_t)1 << 63)) != INFINITE) {
			return -1;
		}
		*bits = raw;
	} else {
		memcpy(bits, &value, sizeof(value));
	}
	return 1;
}

bool proplet_value_read(char type, const char *text, int number, uint64_t *bits, char *words,
			size_t size)
{
	bool integer = type == 'i' || type == 'I';
	int read;

	if (!integer && type != 'f' && type != 'F') {
		size_t at = proplet_put_text(words, size, 0, "argument ");

		at = proplet_put_number(words, size, at, (uint64_t)number);
		proplet_put_text(words, size, at, " has a type that cannot be written in a spec");
		return false;
	}
	read = integer ? read_integer(type, text, bits) : read_float(type, text, bits);
	if (read == 0) {
		return wrong(number, text, true, integer ? ", not an integer (" : ", not a number (",
			     type, ")", words, size);
	}
	if (read < 0) {
		return wrong(number, text, false, ", which does not fit ", type, "", words, size);
	}
	return true;
}

bool proplet_values_fit(const char *types, size_t given, char *words, size_t size)
{
	size_t wanted = strlen(types);
	size_t at;

	if (wanted == given) {
		return true;
	}
	at = proplet_put_text(words, size, 0, "takes ");
	if (wanted == 0) {
		at = proplet_put_text(words, size, at, "none");
	} else {
		at = proplet_put_number(words, size, at, wanted);
		at = proplet_put_text(words, size, at, " (");
		for (size_t i = 0; i < wanted; i++) {
			at = proplet_put_text(words, size, at, i == 0 ? "" : ", ");
			at = proplet_put_text(words, size, at, name_of(types[i]));
		}
		at = proplet_put_text(words, size, at, ")");
	}
	at = proplet_put_text(words, size, at, wanted == 1 ? " argument, " : " arguments, ");
	at = proplet_put_number(words, size, at, given);
	proplet_put_text(words, size, at, " given");
	return false;
}

/* Digits times 10 to the exponent as people write it: 1.0, 0.001, 1e-05, 1.5e+16. */
static size_t spell(const char *digits, int exponent, char *to, size_t size, size_t at)
{
	int count = (int)strlen(digits);
	int point = exponent + 1;

	if (exponent < -4 || exponent >= 16) {
		char first[2] = {digits[0], '\0'};
		unsigned absolute = (unsigned)(exponent < 0 ? -exponent : exponent);

		at = proplet_put_text(to, size, at, first);
		at = proplet_put_text(to, size, at, count > 1 ? "." : "");
		at = proplet_put_text(to, size, at, digits + 1);
		at = proplet_put_text(to, size, at, exponent < 0 ? "e-" : "e+");
		at = proplet_put_text(to, size, at, absolute < 10 ? "0" : "");
		return proplet_put_number(to, size, at, absolute);
	}
	if (point <= 0) {
		at = proplet_put_text(to, size, at, "0.");
		for (; point < 0; point++) {
			at = proplet_put_text(to, size, at, "0");
		}
		return proplet_put_text(to, size, at, digits);
	}
	for (int i = 0; i < point; i++) {
		char one[2] = {i < count ? digits[i] : '0', '\0'};

		at = proplet_put_text(to, size, at, one);
	}
	at = proplet_put_text(to, size, at, ".");
	return proplet_put_text(to, size, at, point < count ? digits + point : "0");
}

static size_t write_float(char type, double value, char *to, size_t size)
{
	char digits[PROPLET_DECIMAL_MAX + 1];
	uint64_t bits;
	size_t at;
	int exponent;

	memcpy(&bits, &value, sizeof(bits));
	at = proplet_put_text(to, size, 0, bits >> 63 && bits << 1 <= INFINITE << 1 ? "-" : "");
	bits &= ~((uint64_t)1 << 63);
	if (bits >= INFINITE) {
		return proplet_put_text(to, size, at, bits == INFINITE ? "inf" : "nan");
	}
	if (bits == 0) {
		return proplet_put_text(to, size, at, "0.0");
	}
	memcpy(&value, &bits, sizeof(bits));
	exponent = proplet_decimal_write(value, type == 'f', digits);
	return spell(digits, exponent, to, size, at);
}

size_t proplet_value_write(char type, uint64_t bits, char *to, size_t size)
{
	size_t at = 0;

	switch (type) {
	case 'i':
	case 'I': {
		int64_t value = type == 'i' ? (int32_t)(uint32_t)bits : (int64_t)bits;

		if (value < 0) {
			at = proplet_put_text(to, size, at, "-");
		}
		return proplet_put_number(to, size, at,
					  value < 0 ? (uint64_t)0 - (uint64_t)value
						    : (uint64_t)value);
	}
	case 'f': {
		uint32_t raw = (uint32_t)bits;
		float narrow;

		memcpy(&narrow, &raw, sizeof(narrow));
		return write_float('f', (double)narrow, to, size);
	}
	case 'F': {
		double wide;

		memcpy(&wide, &bits, sizeof(wide));
		return write_float('F', wide, to, size);
	}
	default:
		return proplet_put_text(to, size, 0, "<ref>");
	}
}
