/*
 * A proplet, whole: the pure agent (agent.h) joined to a port and an engine. This is all a port's
 * main needs. Nothing is allocated and there are no globals: two devices in one process are fine.
 *
 *     proplet_init(&p, &config, &port, &engine, &memory);
 *     loop:
 *         on CONNACK        proplet_connected(&p)
 *         connection gone   proplet_disconnected(&p)
 *         PUBLISH came      proplet_heard(&p, topic, payload, len); then PUBACK
 *         a guest ended, or the time proplet_tick returned has come:  wake = proplet_tick(&p)
 *
 * One thread makes all these calls. proplet_heard returns after everything it decided is stored, so
 * a PUBACK sent after it promises no more than is true.
 */
#ifndef PROPLET_DEVICE_H
#define PROPLET_DEVICE_H

#include "proplet/agent.h"
#include "proplet/port.h"

#define PROPLET_TOPIC 288 /* bytes of the longest topic with its terminator */

struct proplet_label {
	const char *name, *value;
};

/* What the device is. Strings are terminated and outlive the proplet. */
struct proplet_config {
	const char *domain, *channel, *id;
	const char *root;           /* the fleet's root key: "ed25519:<base64>" or "p256:<base64>" */
	const char *key;            /* this device's own public key, the same spelling */
	const char *arch, *os, *agent;
	uint32_t storage;           /* bytes for blobs in all */
	uint32_t max_module;
	uint32_t max_payload;       /* bytes of the largest MQTT payload that arrives whole */
	uint32_t chunk;             /* bytes asked for at once; at most max_payload - 56 */
	uint32_t heartbeat;         /* ms */
	uint32_t min_run_interval;  /* ms */
	uint32_t grace;             /* ms a task may go on while draining */
	uint32_t debounce;          /* ms a change waits for others before it is told */
	uint8_t window;             /* pieces of a blob asked for at once, 1..4 */
	const struct proplet_label *labels;
	size_t label_count;
};

struct proplet;

/* Reads what is stored, counts the boot, stores it. Fails where the storage does. */
int proplet_init(struct proplet *p, const struct proplet_config *config,
		 const struct proplet_port *port, const struct proplet_engine *engine,
		 const struct proplet_memory *memory);

/* The will to leave with CONNECT: topic (PROPLET_TOPIC bytes) and payload; QoS 1, retained. Ask for
 * it anew before every connection: it names the connection. */
int proplet_will(struct proplet *p, char *topic, uint8_t *payload, size_t cap, size_t *len);

void proplet_connected(struct proplet *p);
void proplet_disconnected(struct proplet *p);

/* A message, whole. Never fails: what is wrong with it is counted and reported. */
void proplet_heard(struct proplet *p, const char *topic, const uint8_t *payload, size_t len);

/* A message larger than the port's buffer came and was drained. */
void proplet_oversize(struct proplet *p, const char *topic, size_t len);

/* Time passed, or the engine has news. Returns the monotonic ms to call again at the latest. */
uint64_t proplet_tick(struct proplet *p);

/* Stop guests, tell it, leave. Then tick until proplet_drained. */
void proplet_drain(struct proplet *p);
bool proplet_drained(const struct proplet *p);

#endif
