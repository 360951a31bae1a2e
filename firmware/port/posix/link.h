/*
 * The broker, by libmosquitto, on the main thread: MQTT 3.1.1 or 5, TCP or TLS with the peer
 * verified, clean session, a will. Each connection is a client of its own, so nothing queued for
 * one is ever sent over the next. Reconnects by itself with full jitter.
 */
#ifndef PROPLET_POSIX_LINK_H
#define PROPLET_POSIX_LINK_H

#include <mosquitto.h>
#include <poll.h>

#include "settings.h"

struct link {
	const struct settings *settings;
	struct proplet *proplet;
	struct mosquitto *client;
	bool connected, lost;
	unsigned attempts, unsent;
	uint64_t retry;     /* mono ms of the next attempt */
	uint64_t deadline;  /* for CONNACK */
	uint64_t miscellany; /* mono ms of the next loop_misc */
};

void link_open(struct link *link, const struct settings *settings, struct proplet *proplet);

/* Fills fd and events; fd -1: nothing to wait for. Returns the mono ms to come back at. */
uint64_t link_wants(struct link *link, struct pollfd *fd);

/* Connects, reads, writes, pings, gives up: whatever is due. */
void link_turn(struct link *link, uint64_t now, short revents);

int link_publish(struct link *link, const char *topic, const void *payload, size_t len,
		 uint8_t qos, bool retain);
int link_subscribe(struct link *link, const char *topic, bool again);

/* Waits until what was published is with the broker, `ms` at most, and leaves. */
void link_close(struct link *link, int ms);

#endif
