/* `propeller` for guests, as far as a device has it (docs/reference/guest.md): rows of the table in
 * wasi.c where PROPLET_POINTS is defined. */
#ifndef PROPLET_PROPELLER_H
#define PROPLET_PROPELLER_H

#include "natives.h"

enum proplet_after proplet_guest_config(struct proplet_call *call);
enum proplet_after proplet_guest_log(struct proplet_call *call);
enum proplet_after proplet_guest_now(struct proplet_call *call);
enum proplet_after proplet_guest_random(struct proplet_call *call);
enum proplet_after proplet_guest_read(struct proplet_call *call);
enum proplet_after proplet_guest_write(struct proplet_call *call);

#define PROPLET_GUEST_NATIVES                                                                      \
	{"propeller", "config_get", "iiii:i", proplet_guest_config},                               \
		{"propeller", "log", "iii:", proplet_guest_log},                                   \
		{"propeller", "now_ms", ":I", proplet_guest_now},                                  \
		{"propeller", "random", "ii:", proplet_guest_random},                              \
		{"propeller", "point_read", "iii:i", proplet_guest_read},                          \
		{"propeller", "point_write", "iiF:i", proplet_guest_write}

#endif
