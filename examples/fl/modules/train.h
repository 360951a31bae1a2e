/* train.h: the loop around a model of COUNT parameters, IN features and OUT classes.
 *
 * A model includes this file after it has defined IN, OUT and COUNT, and gives two functions:
 *   void forward(const float *w, const float *x);       fills `score`, the OUT probabilities
 *   void backward(const float *w, const float *x, float *gradient, int label);    adds to it
 *
 * Mini-batch gradient descent over the records as they stream by, so memory does not grow with the
 * data. The first batch of an epoch has a random length, so that batches differ between epochs.
 * Hyperparameters: localEpochs, batchSize (at most MAX_BATCH), learningRate, and mu, FedProx's pull
 * towards the model the round began with. Built with SCAFFOLD it adds the host's correction to each
 * gradient.
 */
#ifndef TRAIN_H
#define TRAIN_H

#include "mathf.h"
#include "propeller_fl.h"

#define MAX_BATCH 32
#define RECORD (IN + 1)

static float weights[COUNT];
static float start[COUNT];
static float gradient[COUNT];
static float batch[MAX_BATCH * RECORD];
#ifdef SCAFFOLD
static float correction[COUNT];
#endif
static float score[OUT];

static void forward(const float *w, const float *x);
static void backward(const float *w, const float *x, float *into, int label);

static int label_of(const float *record) {
  return (int)float_to_bits(record[IN]);
}

/* Scores to probabilities. */
static void softmax(void) {
  float most = score[0], sum = 0.0f;
  for (int k = 1; k < OUT; k++)
    if (score[k] > most) most = score[k];
  for (int k = 0; k < OUT; k++) {
    score[k] = exp_f32(score[k] - most);
    sum = sum + score[k];
  }
  for (int k = 0; k < OUT; k++) score[k] = score[k] / sum;
}

static float loss_of(int label) {
  float p = score[label];
  return -log_f32(p > 1e-30f ? p : 1e-30f);
}

static int load(void) {
  if (FL_PARAM_I64("data.features", 0) != IN || FL_PARAM_I64("data.labels", 0) != 1) return 1;
  if (fl_model_len() != (int)sizeof weights) return 2;
  fl_model_read(0, weights, sizeof weights);
  for (int i = 0; i < COUNT; i++) start[i] = weights[i];
#ifdef SCAFFOLD
  fl_correction_read(0, correction, sizeof correction);
#endif
  return 0;
}

static void step(int records, float rate, float mu) {
  for (int i = 0; i < COUNT; i++) gradient[i] = 0.0f;
  for (int r = 0; r < records; r++) {
    const float *record = batch + r * RECORD;
    forward(weights, record);
    backward(weights, record, gradient, label_of(record));
  }
  float each = rate / (float)records, pull = rate * mu;
  for (int i = 0; i < COUNT; i++)
    weights[i] = weights[i] - each * gradient[i] - pull * (weights[i] - start[i]);
#ifdef SCAFFOLD
  for (int i = 0; i < COUNT; i++) weights[i] = weights[i] - rate * correction[i];
#endif
}

/* 0 where every label is one of the classes. */
static int wrong_label(int records) {
  for (int r = 0; r < records; r++)
    if ((unsigned)label_of(batch + r * RECORD) >= OUT) return 1;
  return 0;
}

FL_EXPORT(train) int train(void) {
  long long samples = FL_PARAM_I64("data.records", 0);
  if (samples == 0) return FL_DECLINED;
  int fault = load();
  if (fault) return fault;
  int epochs = (int)FL_PARAM_I64("localEpochs", 5), size = (int)FL_PARAM_I64("batchSize", 16);
  float rate = (float)FL_PARAM_F64("learningRate", 0.1), mu = (float)FL_PARAM_F64("mu", 0.0);
  if (size < 1) size = 1;
  if (size > MAX_BATCH) size = MAX_BATCH;
  int made = 0;
  for (int epoch = 0; epoch < epochs; epoch++) {
    int wanted = 1 + (int)(fl_rand_u64() % (unsigned long long)size);
    for (;;) {
      int records = fl_data_next(batch, wanted * RECORD * 4) / (RECORD * 4);
      if (records == 0) break;
      if (wrong_label(records)) return 3;
      step(records, rate, mu);
      made = made + 1;
      wanted = size;
    }
  }
  fl_steps(made);
  fl_submit(FL_F32_FULL, weights, sizeof weights, samples);
  return 0;
}

FL_EXPORT(evaluate) int evaluate(void) {
  long long samples = FL_PARAM_I64("data.records", 0);
  if (samples == 0) return FL_DECLINED;
  int fault = load(), right = 0;
  if (fault) return fault;
  double loss = 0.0;
  for (;;) {
    int records = fl_data_next(batch, sizeof batch) / (RECORD * 4);
    if (records == 0) break;
    if (wrong_label(records)) return 3;
    for (int r = 0; r < records; r++) {
      const float *record = batch + r * RECORD;
      int best = 0, label = label_of(record);
      forward(weights, record);
      for (int k = 1; k < OUT; k++)
        if (score[k] > score[best]) best = k;
      right = right + (best == label);
      loss = loss + (double)loss_of(label);
    }
  }
  FL_METRIC("accuracy", (double)right / (double)samples);
  FL_METRIC("loss", loss / (double)samples);
  fl_submit(FL_F32_FULL, weights, 0, samples);
  return 0;
}

#endif
