/*
 * Decimal text and doubles, exactly, without a libc's strtod and printf: small ones have neither.
 */
#ifndef PROPLET_DECIMAL_H
#define PROPLET_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>

#define PROPLET_DECIMAL_MAX 17 /* digits that tell any two doubles apart */

/* The double nearest to `text`, ties to even; what is too large is infinite. False for what is no
 * number. Takes inf, infinity and nan in any case. Digits beyond the hundredth count as being there,
 * not for what they are. */
bool proplet_decimal_read(const char *text, double *value);

/*
 * The fewest digits that read back as the same double, or as the same float where `narrow`, and of
 * those the nearest: digits, terminated, as d.ddd times 10 to the returned exponent. `value` is
 * finite and above 0.
 */
int proplet_decimal_write(double value, bool narrow, char digits[PROPLET_DECIMAL_MAX + 1]);

#endif
