/* mlp.c: one hidden layer of HIDDEN rectified units.
 * Layout: w1 [HIDDEN][IN], b1 [HIDDEN], w2 [OUT][HIDDEN], b2 [OUT]. Build: see the Makefile. */
#define B1 (HIDDEN * IN)
#define W2 (B1 + HIDDEN)
#define B2 (W2 + OUT * HIDDEN)
#define COUNT (B2 + OUT)
#include "train.h"

static float hidden[HIDDEN];

static void forward(const float *w, const float *x) {
  for (int h = 0; h < HIDDEN; h++) {
    float sum = w[B1 + h];
    for (int i = 0; i < IN; i++) sum = sum + w[h * IN + i] * x[i];
    hidden[h] = sum > 0.0f ? sum : 0.0f;
  }
  for (int k = 0; k < OUT; k++) {
    float sum = w[B2 + k];
    for (int h = 0; h < HIDDEN; h++) sum = sum + w[W2 + k * HIDDEN + h] * hidden[h];
    score[k] = sum;
  }
  softmax();
}

static void backward(const float *w, const float *x, float *into, int label) {
  float back[HIDDEN];
  for (int h = 0; h < HIDDEN; h++) back[h] = 0.0f;
  for (int k = 0; k < OUT; k++) {
    float wrong = score[k] - (k == label ? 1.0f : 0.0f);
    for (int h = 0; h < HIDDEN; h++) {
      int at = W2 + k * HIDDEN + h;
      into[at] = into[at] + wrong * hidden[h];
      back[h] = back[h] + wrong * w[at];
    }
    into[B2 + k] = into[B2 + k] + wrong;
  }
  for (int h = 0; h < HIDDEN; h++) {
    if (hidden[h] <= 0.0f) continue;
    for (int i = 0; i < IN; i++) into[h * IN + i] = into[h * IN + i] + back[h] * x[i];
    into[B1 + h] = into[B1 + h] + back[h];
  }
}
