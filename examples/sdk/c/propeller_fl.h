/* propeller_fl.h: what a module that trains may ask of its host.
 *
 * The host runs one export a step: `train` (and `evaluate`, if there is one), with no arguments and
 * either no result or an int: 0 it went well, FL_DECLINED there is nothing to train on, anything
 * else it failed. Between the two a module has these functions and its own memory: no files, no
 * sockets, no clock. A call with an address outside of the memory, or against a limit, ends the
 * module with a reason that the operator sees.
 *
 *     clang --target=wasm32 -O2 -nostdlib -ffp-contract=off -Wl,--no-entry \
 *           -o trainer.wasm trainer.c
 *
 * The module exports its memory as "memory" (wasm-ld does).
 */
#ifndef PROPELLER_FL_H
#define PROPELLER_FL_H

#define FL_IMPORT(name) __attribute__((import_module("propeller_fl"), import_name(#name)))
#define FL_EXPORT(name) __attribute__((export_name(#name)))

#define FL_DECLINED 75

/* Encodings of `fl_submit`. The host makes the format of the round out of either. */
#define FL_F32_DELTA 1 /* parameters after training minus those before */
#define FL_F32_FULL 2  /* parameters after training */

/* Bytes of the model: 4 for each parameter, f32 little-endian in layout order; 0 if there is none
 * yet: then the updates of the first round decide how many parameters there are. */
FL_IMPORT(model_len) int fl_model_len(void);

/* Copies `len` bytes of the model from `off` on to `dst`. */
FL_IMPORT(model_read) void fl_model_read(int off, void *dst, int len);

/* Copies `len` bytes of the correction from `off` on to `dst`, laid out as the model: what a trainer
 * adds to each gradient under a strategy with control variates (SCAFFOLD), zeros under the others. */
FL_IMPORT(correction_read) void fl_correction_read(int off, void *dst, int len);

/* Copies as many whole records as fit in `cap` bytes to `dst` and returns how many bytes that were;
 * 0 at the end of the data, after which the next call begins at the start again. A record is
 * `data.features` f32, then `data.labels` i32. */
FL_IMPORT(data_next) int fl_data_next(void *dst, int cap);

/* A hyperparameter of the spec by name (`len` bytes at `name`), or `missing`. The host adds
 * `round`, `data.records`, `data.features` and `data.labels`. */
FL_IMPORT(param_i64) long long fl_param_i64(const char *name, int len, long long missing);
FL_IMPORT(param_f64) double fl_param_f64(const char *name, int len, double missing);

/* The next 64 random bits of this step: HMAC-SHA256 of the round's seed, the same on every run. */
FL_IMPORT(rand_u64) unsigned long long fl_rand_u64(void);

/* Tells a number: at most 16 names of at most 64 letters, digits, '_', '.' and '-'; finite. */
FL_IMPORT(metric) void fl_metric(const char *name, int len, double value);

/* Tells how many optimiser steps were made (FedNova and SCAFFOLD need it). */
FL_IMPORT(steps) void fl_steps(int count);

/* Hands over the result, once: `len` bytes at `src` in one of the encodings above, and how many
 * samples it came from (at least 1). `evaluate` submits no bytes, only its samples. */
FL_IMPORT(submit) void fl_submit(int encoding, const void *src, int len, long long samples);

/* The same with a literal as the name. */
#define FL_PARAM_I64(name, missing) fl_param_i64(name, (int)sizeof(name) - 1, missing)
#define FL_PARAM_F64(name, missing) fl_param_f64(name, (int)sizeof(name) - 1, missing)
#define FL_METRIC(name, value) fl_metric(name, (int)sizeof(name) - 1, value)

#endif
