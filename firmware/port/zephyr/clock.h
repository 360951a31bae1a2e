/* The time of day: by SNTP, kept by the kernel's clock in between. */
#ifndef PROPLET_ZEPHYR_CLOCK_H
#define PROPLET_ZEPHYR_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* Asks `server` when that is due: every hour, and while no answer came ever more seldom. Waits a
 * second at most. "": no server, no time. */
void clock_turn(const char *server);

/* Unix ms. False, and 0, while no server was heard. A slot of struct proplet_port. */
bool clock_wall(void *ctx, uint64_t *ms);

#endif
