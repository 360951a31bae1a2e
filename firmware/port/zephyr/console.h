/* What the shell asks of the main thread, which alone may look into the proplet. */
#ifndef PROPLET_ZEPHYR_CONSOLE_H
#define PROPLET_ZEPHYR_CONSOLE_H

#include "proplet/device.h"

#if defined(CONFIG_SHELL)
/* Answers a question that waits; called by the main thread, often. */
void console_turn(const struct proplet *proplet);
#else
static inline void console_turn(const struct proplet *proplet)
{
	ARG_UNUSED(proplet);
}
#endif

#endif
