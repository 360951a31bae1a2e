/*
 * The broker, by Zephyr's MQTT library, on the calling thread: 3.1.1, clean session, a will, TCP or
 * TLS with the peer verified. A payload is read into one buffer where it fits and drained where it
 * does not. PUBACK goes out after the core has stored what the message decided.
 */
#ifndef PROPLET_ZEPHYR_LINK_H
#define PROPLET_ZEPHYR_LINK_H

#include "identity.h"
#include "proplet/device.h"

void link_open(const struct identity *identity, struct proplet *proplet);

/* Waits until `until` (uptime ms) at most, and does whatever is due: connects, reads, pings. */
void link_turn(int64_t until);
void link_fill(struct proplet_port *port);
bool link_connected(void);
bool link_secure(void); /* the connection is TLS, its peer verified */
void link_close(void);

#endif
