/*
 * Whether the broker's certificate counts today. Before the time is known nothing but what the signed
 * documents prove is held against it: a certificate that ended before the newest of them was issued. Once
 * the time is known, what was let pass until then is looked at again.
 */
#ifndef PROPLET_ZEPHYR_CERTS_H
#define PROPLET_ZEPHYR_CERTS_H

#include <stdbool.h>

#include "proplet/device.h"

/* A handshake begins. */
void certs_begin(struct proplet *proplet);

/* The connection was made with a certificate that, as is known by now, has ended or not begun. */
bool certs_ended(void);

#endif
