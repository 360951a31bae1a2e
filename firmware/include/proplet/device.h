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
	const char *box;            /* what secrets are sealed to: "x25519:<base64>" or
				     * "p256:<base64>"; NULL: the port opens none */
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
	/* Directories for guests that train, as entries name them; most devices have one or none. */
	const char *const *mounts;
	size_t mount_count;
	/* Sensors for guests by name, and outputs, whose names end in :w (engine/points.h). */
	const char *const *points;
	size_t point_count;
};

#ifndef PROPLET_GUESTS
#define PROPLET_GUESTS 32 /* slots of an engine, at most; the same in every file that sees this */
#endif
#ifndef PROPLET_LOGS
#define PROPLET_LOGS 4 /* logs read at one time */
#endif
#ifndef PROPLET_HELLO
#define PROPLET_HELLO 1536 /* bytes of the longest hello */
#endif
#define PROPLET_RING 16   /* decisions remembered across boots */

/* A decision, for whoever looks at a device that did something odd. */
struct proplet_decision {
	int64_t wall, gen;
	uint32_t boot;
	uint8_t what;   /* enum proplet_did */
	uint8_t detail; /* a reset's cause, a run's state */
	uint8_t uid[4]; /* the first bytes of the object's */
};
enum proplet_did {
	PROPLET_DID_BOOT = 1,
	PROPLET_DID_ACCEPT = 2,
	PROPLET_DID_START = 3,
	PROPLET_DID_STOP = 4,
	PROPLET_DID_END = 5,
	PROPLET_DID_TRUST = 6,
	PROPLET_DID_DRAIN = 7,
	PROPLET_DID_ALONE = 8 /* stopped: no word of the manager for as long as it bears */
};

/* Made by proplet_init; look, do not touch. */
struct proplet {
	struct proplet_config config;
	const struct proplet_port *port;
	const struct proplet_engine *engine;
	struct pp_agent agent;
	struct pp_channel channel;
	struct pp_key key;
	struct pp_box box;
	uint8_t hello[PROPLET_HELLO];
	int64_t last_mono, wake;
	uint32_t boot, conn;
	bool drained, untold, ring_changed;
	char lost_why[64], start_why[96]; /* of a write, of a start that failed within a turn */
	uint8_t lost_blob[32];
	bool has_lost_blob, has_lost_upload;
	uint8_t lost_upload[32];
	struct proplet_place {
		uint8_t uid[16], run[16];
		int64_t stop_at; /* -1: not asked to */
		bool taken, ended, failed;
	} places[PROPLET_GUESTS];
	struct proplet_log {
		char op[65];
		uint8_t place, stream, turn; /* turn: which of the two is read */
		int64_t until;
		uint32_t off[2];
		bool used;
	} logs[PROPLET_LOGS];
	struct proplet_ended ended; /* what the engine told last */
	bool busy; /* the engine asked for a check to be tried again */
	struct proplet_decision ring[PROPLET_RING];
	uint32_t ring_next;
};

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
