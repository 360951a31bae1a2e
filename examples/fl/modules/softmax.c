/* softmax.c: softmax regression. Layout: w [OUT][IN], b [OUT]. Build: see the Makefile. */
#define COUNT (OUT * IN + OUT)
#include "train.h"

static void forward(const float *w, const float *x) {
  for (int k = 0; k < OUT; k++) {
    float sum = w[OUT * IN + k];
    for (int i = 0; i < IN; i++) sum = sum + w[k * IN + i] * x[i];
    score[k] = sum;
  }
  softmax();
}

static void backward(const float *w, const float *x, float *into, int label) {
  (void)w;
  for (int k = 0; k < OUT; k++) {
    float wrong = score[k] - (k == label ? 1.0f : 0.0f);
    for (int i = 0; i < IN; i++) into[k * IN + i] = into[k * IN + i] + wrong * x[i];
    into[OUT * IN + k] = into[OUT * IN + k] + wrong;
  }
}
