/*
 * The `struct proplet_engine` of the core (port.h) on top of any runtime (runtime.h): slots, threads,
 * captured output, results. Used by the posix and the Zephyr port alike; what differs between them,
 * threads and memory, is struct proplet_os.
 *
 * start, check, stop, poll and log_read are called by the core's thread, which also owns the port;
 * a guest's thread touches its own slot, and of the port only mono, wall and random.
 */
#ifndef PROPLET_RUNNER_H
#define PROPLET_RUNNER_H

#include "runtime.h"
#ifdef PROPLET_POINTS
#include "points.h"
#endif

#define PROPLET_SLOTS_MAX 32
#define PROPLET_WORDS_MAX 64 /* arguments and variables of one guest */

struct proplet_os {
	void *ctx;
	/* Run fn(arg) on the thread of this slot; false where there is none to be had. */
	bool (*spawn)(void *ctx, unsigned slot, void (*fn)(void *arg), void *arg);
	/* That thread's fn is about to return, or has: wait for it. */
	void (*join)(void *ctx, unsigned slot);
	void (*lock)(void *ctx); /* one lock for all slots, held for moments */
	void (*unlock)(void *ctx);
	/* A guest ended: have the main loop call proplet_tick. From the guest's thread. */
	void (*wake)(void *ctx);
	void (*wait)(void *ctx, int64_t ms);
	void *(*take)(void *ctx, size_t size); /* for a module's bytes; NULL: none left */
	void (*give)(void *ctx, void *memory);
};

/* What one stream wrote: the newest `cap` bytes, or the first. */
struct proplet_capture {
	uint8_t *data;
	uint32_t cap;
	uint32_t total; /* bytes ever written */
};

struct proplet_slot {
	/* The caller's memory: texts of the entry, and what guests write. */
	char *texts;
	size_t texts_size, texts_used;
	struct proplet_capture out, err;

	/* Of the runner. */
	atomic_int state;
	bool daemon;
	uint32_t limit; /* bytes of stdout a task may write */
	struct proplet_runner *runner;
	struct proplet_job job;
	struct proplet_outcome outcome;
	const char *words[PROPLET_WORDS_MAX];
#ifdef PROPLET_POINTS
	struct proplet_sense sense;
#endif
};

/*
 * What makes a round of federated learning of a guest (fl/lesson.h), as the runner asks it: `check`
 * as the engine's check, `begin` before the guest is started, `finish` once it ended, which frees what
 * `begin` gave; without `out` it does nothing else. On the core's thread.
 */
struct proplet_lessons {
	void *ctx;
	int (*check)(void *ctx, const struct proplet_guest *guest, char *why, size_t cap);
	int (*begin)(void *ctx, const struct proplet_guest *guest, struct proplet_lesson **lesson,
		     char *why, size_t cap);
	void (*finish)(void *ctx, struct proplet_lesson *lesson,
		       const struct proplet_outcome *outcome, struct proplet_ended *out);
};

struct proplet_runner {
	struct proplet_engine engine; /* to hand to proplet_init */
	struct proplet_runtime *runtime;
	const struct proplet_port *port;
	const struct proplet_os *os;
	struct proplet_slot *slots;
	const struct proplet_lessons *lessons; /* NULL: this device takes no part in rounds */
	uint64_t fuel; /* of an entry that names none; PROPLET_UNLIMITED where guests can be stopped */
#ifdef PROPLET_POINTS
	const struct proplet_points *points;
	const char *offered[9]; /* imports, where there are points */
#endif
};

/* Fills runner->engine. `memory`: bytes for guests in all, for hello. */
void proplet_runner_init(struct proplet_runner *runner, struct proplet_runtime *runtime,
			 const struct proplet_port *port, const struct proplet_os *os,
			 struct proplet_slot *slots, uint8_t count, uint64_t memory);

/* From here on it takes part in rounds, and says so in hello: before proplet_init. */
void proplet_runner_teach(struct proplet_runner *runner, const struct proplet_lessons *lessons);

/* From here on it runs native code (AOT) where the runtime can, and says so in hello: before
 * proplet_init, and after `fuel` was set. Such code is verified by nobody: only where the device's own
 * configuration asks for it. False where there is none to run. */
bool proplet_runner_allow_aot(struct proplet_runner *runner);

#ifdef PROPLET_POINTS
/* From here on guests may have these points; all outputs are made safe at once, and those that a guest
 * drove when it ended. After proplet_runner_teach, before proplet_init. */
void proplet_runner_sense(struct proplet_runner *runner, const struct proplet_points *points);
#endif

/* Stores bytes as a blob of the guest that ended. False where storage has no room. */
bool proplet_keep_blob(const struct proplet_port *port, const uint8_t *data, uint32_t size,
		       struct proplet_ended *out);

/* To be called some ten times a second while proplet_runner_busy. */
void proplet_runner_tick(struct proplet_runner *runner);
bool proplet_runner_busy(struct proplet_runner *runner);

#endif
