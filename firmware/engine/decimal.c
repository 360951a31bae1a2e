/*
 * See decimal.h. Reading divides big integers bit by bit; writing is the free-format algorithm of
 * Steele and White ("How to Print Floating-Point Numbers Accurately", 1990) with the bounds of
 * Burger and Dybvig.
 */
#include "decimal.h"

#include <stdint.h>
#include <string.h>

#define WORDS 72 /* 2304 bits: 2^1075 times 10^324 and some room */
#define DIGITS_MAX 100

struct big {
	uint32_t word[WORDS]; /* the least first */
	unsigned count;       /* words that may be above 0 */
};

static void set(struct big *big, uint64_t value)
{
	memset(big, 0, sizeof(*big));
	big->word[0] = (uint32_t)value;
	big->word[1] = (uint32_t)(value >> 32);
	big->count = 2;
}

static void trim(struct big *big)
{
	while (big->count > 1 && big->word[big->count - 1] == 0) {
		big->count--;
	}
}

/* big = big * factor + more */
static void scale(struct big *big, uint32_t factor, uint32_t more)
{
	uint64_t carry = more;

	for (unsigned i = 0; i < big->count; i++) {
		carry += (uint64_t)big->word[i] * factor;
		big->word[i] = (uint32_t)carry;
		carry >>= 32;
	}
	if (carry != 0 && big->count < WORDS) {
		big->word[big->count++] = (uint32_t)carry;
	}
}

static void power_of_ten(struct big *big, int exponent)
{
	for (; exponent >= 9; exponent -= 9) {
		scale(big, 1000000000, 0);
	}
	for (; exponent > 0; exponent--) {
		scale(big, 10, 0);
	}
}

static void shift(struct big *big, unsigned bits)
{
	unsigned words = bits / 32;
	unsigned rest = bits % 32;

	trim(big);
	for (unsigned i = big->count; words > 0 && i-- > 0;) {
		if (i + words < WORDS) {
			big->word[i + words] = big->word[i];
		}
		big->word[i] = 0;
	}
	big->count = big->count + words < WORDS ? big->count + words : WORDS;
	if (rest > 0) {
		scale(big, 1U << rest, 0);
	}
}

static int compare(const struct big *a, const struct big *b)
{
	unsigned count = a->count > b->count ? a->count : b->count;

	for (unsigned i = count; i-- > 0;) {
		uint32_t left = i < a->count ? a->word[i] : 0;
		uint32_t right = i < b->count ? b->word[i] : 0;

		if (left != right) {
			return left < right ? -1 : 1;
		}
	}
	return 0;
}

static void add(struct big *a, const struct big *b)
{
	uint64_t carry = 0;
	unsigned count = a->count > b->count ? a->count : b->count;

	for (unsigned i = 0; i < count; i++) {
		carry += (uint64_t)(i < a->count ? a->word[i] : 0) +
			 (i < b->count ? b->word[i] : 0);
		a->word[i] = (uint32_t)carry;
		carry >>= 32;
	}
	a->count = count;
	if (carry != 0 && count < WORDS) {
		a->word[a->count++] = (uint32_t)carry;
	}
}

/* a -= b, where a >= b */
static void subtract(struct big *a, const struct big *b)
{
	uint64_t borrow = 0;

	for (unsigned i = 0; i < a->count; i++) {
		uint64_t left = a->word[i];
		uint64_t right = (i < b->count ? b->word[i] : 0) + borrow;

		borrow = left < right;
		a->word[i] = (uint32_t)(left - right);
	}
	trim(a);
}

static unsigned bits_of(struct big *big)
{
	unsigned bits = 32;

	trim(big);
	while (bits > 0 && (big->word[big->count - 1] >> (bits - 1)) == 0) {
		bits--;
	}
	return 32 * (big->count - 1) + bits;
}

/* -- doubles by their bits: a small libc has no math.h to speak of ------------------------- */

#define INFINITE ((uint64_t)0x7FF << 52)

static double of_bits(uint64_t bits)
{
	double value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

/* Mantissa and power of two of a finite value; whether the one below is half as far. */
static bool taken_apart(double value, bool narrow, uint64_t *mantissa, int *power)
{
	int width = narrow ? 23 : 52;
	int field;
	uint64_t bits;

	if (narrow) {
		float small = (float)value;
		uint32_t raw;

		memcpy(&raw, &small, sizeof(raw));
		bits = raw;
	} else {
		memcpy(&bits, &value, sizeof(bits));
	}
	field = (int)(bits >> width);
	*mantissa = bits & (((uint64_t)1 << width) - 1);
	*power = (field == 0 ? 1 : field) - (narrow ? 150 : 1075);
	if (field != 0) {
		*mantissa |= (uint64_t)1 << width;
	}
	return field > 1 && (*mantissa & (((uint64_t)1 << width) - 1)) == 0;
}

/* -- reading ------------------------------------------------------------------------------- */

/* top / bottom, rounded to the nearest double. Both are changed. */
static double divide(struct big *top, struct big *bottom)
{
	int exponent = (int)bits_of(top) - (int)bits_of(bottom);
	uint64_t mantissa = 0;
	int wanted = 53;
	int half;

	if (exponent > 0) {
		shift(bottom, (unsigned)exponent);
	} else {
		shift(top, (unsigned)-exponent);
	}
	if (compare(top, bottom) < 0) {
		scale(top, 2, 0);
		exponent--;
	}
	if (exponent < -1022) { /* subnormal: fewer bits */
		wanted -= -1022 - exponent;
	}
	if (wanted < 0) {
		return 0.0;
	}
	for (int i = 0; i < wanted; i++) {
		mantissa <<= 1;
		if (compare(top, bottom) >= 0) {
			subtract(top, bottom);
			mantissa |= 1;
		}
		scale(top, 2, 0);
	}
	half = compare(top, bottom);
	if (half > 0 || (half == 0 && (mantissa & 1) != 0)) {
		mantissa++;
	}
	if (exponent > 1023) {
		return of_bits(INFINITE);
	}
	/* A mantissa that was rounded up to 2^53 moves the exponent by itself. */
	return of_bits(mantissa + (exponent < -1022 ? 0 : (uint64_t)(exponent + 1022) << 52));
}

static bool word(const char *text, const char *lower)
{
	for (; *lower != '\0'; text++, lower++) {
		if ((*text | 0x20) != *lower) {
			return false;
		}
	}
	return *text == '\0';
}

static bool read_exponent(const char *text, int *exponent)
{
	bool minus = *text == '-';
	int value = 0;

	if (*text == '-' || *text == '+') {
		text++;
	}
	if (*text == '\0') {
		return false;
	}
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9') {
			return false;
		}
		value = value < 100000 ? 10 * value + (*text - '0') : value;
	}
	*exponent += minus ? -value : value;
	return true;
}

/* Digits and a point into `top`; the rest of the text, NULL for no number. */
static const char *read_digits(const char *text, struct big *top, int *exponent, int *first)
{
	bool point = false;
	bool any = false;
	bool more = false;
	int kept = 0;

	*first = 0;
	for (;; text++) {
		if (*text == '.' && !point) {
			point = true;
			continue;
		}
		if (*text < '0' || *text > '9') {
			break;
		}
		any = true;
		if (kept < DIGITS_MAX) {
			if (kept > 0 || *text != '0') {
				scale(top, 10, (uint32_t)(*text - '0'));
				kept++;
			}
			*exponent -= point;
		} else {
			more = more || *text != '0';
			*exponent += !point;
		}
	}
	if (more) { /* above what was kept, however little */
		scale(top, 10, 1);
		*exponent -= 1;
		kept++;
	}
	*first = kept;
	return any ? text : NULL;
}

bool proplet_decimal_read(const char *text, double *value)
{
	struct big top;
	struct big bottom;
	bool minus = *text == '-';
	int exponent = 0;
	int digits;

	if (*text == '-' || *text == '+') {
		text++;
	}
	*value = of_bits(INFINITE | (uint64_t)1 << 51);
	if (word(text, "nan")) {
		return true;
	}
	if (word(text, "inf") || word(text, "infinity")) {
		*value = of_bits(INFINITE | (uint64_t)minus << 63);
		return true;
	}
	set(&top, 0);
	text = read_digits(text, &top, &exponent, &digits);
	if (text == NULL || (*text != '\0' && (*text | 0x20) != 'e') ||
	    (*text != '\0' && !read_exponent(text + 1, &exponent))) {
		return false;
	}
	if (digits == 0 || exponent + digits < -330) {
		*value = 0.0;
	} else if (exponent + digits > 310) {
		*value = of_bits(INFINITE);
	} else {
		set(&bottom, 1);
		power_of_ten(exponent > 0 ? &top : &bottom, exponent > 0 ? exponent : -exponent);
		*value = divide(&top, &bottom);
	}
	*value = minus ? -*value : *value;
	return true;
}

/* -- writing ------------------------------------------------------------------------------- */

int proplet_decimal_write(double value, bool narrow, char digits[PROPLET_DECIMAL_MAX + 1])
{
	int power;
	uint64_t mantissa;
	bool border = taken_apart(value, narrow, &mantissa, &power);
	bool even = (mantissa & 1) == 0;
	bool low, high;
	struct big rest, whole, above, below;
	int exponent = 0;
	int count = 0;

	/* value = rest / whole; above and below: half the way to the neighbours, in the same unit */
	set(&rest, mantissa);
	set(&whole, 1);
	set(&above, 1);
	set(&below, 1);
	shift(&rest, 1U + border + (unsigned)(power > 0 ? power : 0));
	shift(&whole, 1U + border + (unsigned)(power < 0 ? -power : 0));
	shift(&above, (unsigned)border + (unsigned)(power > 0 ? power : 0));
	shift(&below, (unsigned)(power > 0 ? power : 0));

	/* 1 <= value + above < 10 */
	for (;;) {
		struct big sum = rest;

		add(&sum, &above);
		if (compare(&sum, &whole) >= !even) {
			scale(&whole, 10, 0);
			exponent++;
			continue;
		}
		break;
	}
	for (;;) {
		struct big sum = rest;

		scale(&sum, 10, 0);
		{
			struct big far = above;

			scale(&far, 10, 0);
			add(&sum, &far);
		}
		if (compare(&sum, &whole) < !even) {
			scale(&rest, 10, 0);
			scale(&above, 10, 0);
			scale(&below, 10, 0);
			exponent--;
			continue;
		}
		break;
	}
	do {
		char digit = '0';
		struct big sum;

		scale(&rest, 10, 0);
		scale(&above, 10, 0);
		scale(&below, 10, 0);
		while (compare(&rest, &whole) >= 0) {
			subtract(&rest, &whole);
			digit++;
		}
		sum = rest;
		add(&sum, &above);
		low = compare(&rest, &below) < (even ? 1 : 0);
		high = compare(&sum, &whole) > (even ? -1 : 0);
		if (low || high) {
			int half;

			scale(&rest, 2, 0);
			half = compare(&rest, &whole);
			if (high && (!low || half > 0 || (half == 0 && (digit & 1) != 0))) {
				digit++;
			}
		}
		digits[count++] = digit;
	} while (!low && !high && count < PROPLET_DECIMAL_MAX);
	digits[count] = '\0';
	return exponent - 1;
}
