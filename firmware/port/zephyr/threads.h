/* struct proplet_os by Zephyr's kernel; the memory of modules is WAMR's pool. */
#ifndef PROPLET_ZEPHYR_THREADS_H
#define PROPLET_ZEPHYR_THREADS_H

#include "runner.h"

extern const struct proplet_os proplet_zephyr_os;
extern struct k_sem proplet_bell; /* given when a guest ended */

#endif
