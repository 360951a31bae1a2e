/*
 * A device in memory: storage that can lose power at any write, a broker that keeps what is retained,
 * an engine whose guests end when told to, and the manager's side of the wire.
 */
#ifndef FAKE_H
#define FAKE_H

#include <setjmp.h>

#include "harness.h"
#include "proplet/device.h"

#define FAKE_RECORDS 96
#define FAKE_BLOBS 24
#define FAKE_BLOB 8192
#define FAKE_QUEUE 64
#define FAKE_STARTS 512

enum fake_cut { FAKE_BEFORE, FAKE_AFTER, FAKE_HALF };

struct fake_blob {
	bool used, sealed;
	uint8_t digest[32];
	uint32_t have, total;
	uint8_t data[FAKE_BLOB];
};

struct fake_message {
	char topic[PROPLET_TOPIC];
	uint8_t payload[4096];
	size_t len;
};

struct fake {
	struct proplet_port port;
	struct proplet_engine engine;
	struct proplet proplet;
	struct proplet_config config;
	struct proplet_memory memory;

	/* what outlives power */
	struct {
		bool used;
		uint16_t id;
		size_t len;
		uint8_t data[4096];
	} records[FAKE_RECORDS];
	struct fake_blob blobs[FAKE_BLOBS];
	uint32_t room; /* bytes of storage for blobs */

	/* power */
	unsigned writes, cut_at; /* 0: never */
	enum fake_cut cut;
	jmp_buf down;
	bool broken; /* every write fails from now on, power or not */

	/* time */
	uint64_t mono, wall;
	bool synced;
	uint8_t chance;

	/* the broker and the manager */
	bool online;
	struct fake_message queue[FAKE_QUEUE]; /* towards the device */
	unsigned queued;
	struct fake_message trust, desired; /* retained */
	struct fake_blob served[8];         /* what the manager has */
	unsigned lose; /* every so many blob pieces is lost; 0: none */
	unsigned pieces, answers, puts;
	struct fake_blob uploaded; /* the last upload, put together */
	uint8_t report[4096];      /* the last full report, as CBOR */
	size_t report_len;
	uint8_t answer[4096]; /* the last answer to an operation */
	size_t answer_len;
	unsigned hellos, reports, beats;
	bool second; /* the second manager signs */
	bool deaf; /* publishing fails */

	/* guests: what was ever started, across all boots */
	struct {
		uint8_t uid[16], run[16];
		bool daemon;
	} starts[FAKE_STARTS];
	unsigned started;
	struct fake_guest {
		bool alive, stopping;
		uint8_t uid[16], run[16], module[32];
		bool daemon, large, aot;
		unsigned polls; /* until a task ends by itself */
	} guests[4];
	char secret[256]; /* the last that a guest was given, as NAME=value */
	const char *start_error; /* what start() answers, NULL: it starts */
	unsigned life; /* polls a task lives */
	unsigned result_len; /* bytes of a result; 0: two */
	char log[256];
};

/* A device with nothing stored. */
void fake_init(struct fake *f);
/* Power on. False when power was cut before it was up. */
bool fake_boot(struct fake *f);
/* The connection comes up; what is retained comes. */
void fake_connect(struct fake *f);
void fake_disconnect(struct fake *f);
/* Deliver what is queued and let `ms` pass, tick by tick. Within a power cut: does not return. */
void fake_run(struct fake *f, unsigned ms);
/* As fake_run, but false when power was cut: guests are gone, what was queued is lost. */
bool fake_try(struct fake *f, unsigned ms);

/* The manager: signed messages. */
void fake_trust(struct fake *f, unsigned version);
/* tasks: JSON of the list, with the modules named by fake_module. */
/* Another manager in its place, which signs from now on; one more key, for release lists. */
void fake_trust_second(struct fake *f, unsigned version);
void fake_trust_releasing(struct fake *f, unsigned version);
void fake_desire(struct fake *f, unsigned gen, const char *tasks);
void fake_say(struct fake *f, const char *verb, const char *uid, const char *run);
void fake_manager_online(struct fake *f);
/* A module with `size` bytes of ballast, that the manager serves; its digest as text. */
const char *fake_module(struct fake *f, unsigned size, char text[72]);
/* From the next boot on it has an encryption key, on P-256 or of X25519. */
void fake_box(struct fake *f, bool p256);
/* A value sealed to it as the manager does, as base64. */
const char *fake_seal(struct fake *f, const char *uid, unsigned run, const char *name,
		      const char *value);
/* These bytes, that the manager serves. */
const char *fake_serve(struct fake *f, const uint8_t *data, uint32_t size, char text[72]);
/* A body as a signed frame, to be heard on a topic of the device. */
void fake_send(struct fake *f, enum pp_topic topic, enum pp_purpose purpose, const char *body);
void fake_queue(struct fake *f, enum pp_topic topic, const uint8_t *payload, size_t len);

/* The run of the last report; at NULL where there is none. */
struct pp_view fake_reported(struct fake *f, const char *uid);
int fake_state(struct fake *f, const char *uid); /* -1: not reported */
unsigned fake_starts(const struct fake *f, const char *uid);
int64_t fake_observed_gen(struct fake *f);

/* An entry as JSON. mode: once or daemon. more: further members, beginning with a comma. */
const char *fake_entry(char *to, size_t cap, const char *uid, unsigned run, const char *mode,
		       const char *module, unsigned size, unsigned digest, const char *more);

#endif
