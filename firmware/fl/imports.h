/* `propeller_fl` for guests, and WASI's clock, chance and waiting as a guest that trains sees them:
 * rows of the table in wasi.c where PROPLET_FL is defined. */
#ifndef PROPLET_FL_IMPORTS_H
#define PROPLET_FL_IMPORTS_H

#include "natives.h"

enum proplet_after proplet_fl_model_len(struct proplet_call *call);
enum proplet_after proplet_fl_model_read(struct proplet_call *call);
enum proplet_after proplet_fl_correction_read(struct proplet_call *call);
enum proplet_after proplet_fl_data_next(struct proplet_call *call);
enum proplet_after proplet_fl_param_i64(struct proplet_call *call);
enum proplet_after proplet_fl_param_f64(struct proplet_call *call);
enum proplet_after proplet_fl_rand_u64(struct proplet_call *call);
enum proplet_after proplet_fl_metric(struct proplet_call *call);
enum proplet_after proplet_fl_steps(struct proplet_call *call);
enum proplet_after proplet_fl_submit(struct proplet_call *call);

/* Time starts at 0 and moves a millisecond a question; a wait is over at once and moves it on; random
 * bytes come from the seed of the round. The arguments are those of the functions of WASI. */
enum proplet_after proplet_fl_time(struct proplet_call *call);
enum proplet_after proplet_fl_resolution(struct proplet_call *call);
enum proplet_after proplet_fl_random(struct proplet_call *call);
enum proplet_after proplet_fl_poll(struct proplet_call *call);

#define PROPLET_FL_NATIVES                                                                         \
	{"propeller_fl", "model_len", ":i", proplet_fl_model_len},                                 \
		{"propeller_fl", "model_read", "iii:", proplet_fl_model_read},                     \
		{"propeller_fl", "correction_read", "iii:", proplet_fl_correction_read},           \
		{"propeller_fl", "data_next", "ii:i", proplet_fl_data_next},                       \
		{"propeller_fl", "param_i64", "iiI:I", proplet_fl_param_i64},                      \
		{"propeller_fl", "param_f64", "iiF:F", proplet_fl_param_f64},                      \
		{"propeller_fl", "rand_u64", ":I", proplet_fl_rand_u64},                           \
		{"propeller_fl", "metric", "iiF:", proplet_fl_metric},                             \
		{"propeller_fl", "steps", "i:", proplet_fl_steps},                                 \
		{"propeller_fl", "submit", "iiiI:", proplet_fl_submit}

#endif
