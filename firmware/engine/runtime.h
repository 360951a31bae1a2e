/*
 * What runs guests: WAMR on a microcontroller, wasmtime's library or WAMR in a Linux process.
 *
 * The runner (runner.h) fills a `struct proplet_job` with everything one guest is given, hands it to `run` on a
 * thread that may block, and learns how it ended. Several guests may run at once, each on a thread
 * of its own; only `stop` may be called from another thread while `run` has not returned. Nothing
 * here knows the protocol, storage or MQTT.
 */
#ifndef PROPLET_RUNTIME_H
#define PROPLET_RUNTIME_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proplet/port.h"

/* How a guest ended. The words are for logs; what a report says is in proplet_outcome.text. */
#define PROPLET_ENDS(X)                                                                            \
	X(RETURNED, "returned")                                                                    \
	X(TRAPPED, "trapped")                                                                      \
	X(FUEL, "fuel")                                                                            \
	X(TIMEOUT, "timeout")                                                                      \
	X(STOPPED, "stopped")                                                                      \
	X(OUTPUT, "output")                                                                        \
	X(REFUSED, "refused")

enum proplet_end {
#define X(name, text) PROPLET_END_##name,
	PROPLET_ENDS(X)
#undef X
};

#define PROPLET_TEXT_MAX 320
#define PROPLET_VALUES_MAX 16 /* arguments or results of one call */

struct proplet_outcome {
	enum proplet_end end;
	int32_t exit;      /* RETURNED: the exit status, 0 where the guest just returned */
	bool valued;       /* RETURNED: `text` is what the export answered; else stdout is the result */
	uint64_t memory;   /* bytes of linear memory at the end, 0 where it never started */
	char text[PROPLET_TEXT_MAX]; /* the values, or why it failed, in words; NUL-terminated */
};

struct proplet_sense;  /* sensors and outputs it may use: points.h */
struct proplet_lesson; /* a round of federated learning: fl/lesson.h */

/* Everything one guest is given. Whatever is pointed to lives until `run` returns. */
struct proplet_job {
	uint8_t *module; /* the engine may change these bytes while it runs */
	size_t module_size;
	bool aot;                 /* `module` is native code, and nothing else may be */
	const char *name;         /* argv[0] of a command */
	const char *entrypoint;   /* `_start`, or another export */
	const char *const *args;  /* argv[1...] of a command, or the values of an export's parameters */
	size_t args_count;
	const char *const *env;   /* NAME=value */
	size_t env_count;
	bool secret; /* some of env is: a runtime whose memory outlives the guest wipes it */
	const uint8_t *stdin_data;
	size_t stdin_size;
	uint64_t memory;  /* bytes of linear memory at most */
	uint64_t fuel;    /* instructions at most, by the engine's own count */
	uint64_t timeout; /* ms at most, by `now_ms`. PROPLET_UNLIMITED stands for each of the three */
	uint64_t output;  /* bytes of stdout `write` takes, for the words */
	struct proplet_lesson *lesson; /* NULL: `propeller_fl` is not offered */
	struct proplet_sense *sense;   /* NULL: it has no points */

	/* The world. `write` gets what the guest says on stream 1 or 2, and returns false where that
	 * was more than the guest may say: it ends there. `wait` sleeps at most so long, less where it
	 * is woken. All are called on the guest's thread. */
	void *context;
	bool (*write)(void *context, int stream, const uint8_t *data, size_t size);
	int64_t (*now_ms)(void *context);  /* monotonic */
	int64_t (*wall_ms)(void *context); /* Unix, or what is known of it */
	bool (*random)(void *context, uint8_t *data, size_t size); /* false: there is none */
	void (*wait)(void *context, int64_t ms);

	/* Of the engine, while it runs. The port sets them to zero. */
	atomic_int asked; /* enum proplet_end that ends it from outside, 0: none */
	int64_t began;
	size_t stdin_read;
	bool left;            /* a native ended it: */
	enum proplet_end why; /* for this */
	int32_t exit;
	void *running;
};

struct proplet_runtime {
	const char *name;
	const char *version;
	const char *aot; /* native code that it can run, as in proplet/port.h; NULL: none */
	/* Runs the guest to its end on the calling thread. Never fails: what went wrong is the end. */
	void (*run)(struct proplet_runtime *runtime, struct proplet_job *job,
		    struct proplet_outcome *out);
	/* Ends a guest that runs, from any thread, within a tenth of a second; nothing where it ended
	 * already. `why` is STOPPED or TIMEOUT. The guest's memory must outlive the call. */
	void (*stop)(struct proplet_runtime *runtime, struct proplet_job *job,
		     enum proplet_end why);
	/* To be called some ten times a second from any one thread while guests run: ends those that
	 * are past their time where the engine cannot see to it by itself. May be NULL. */
	void (*tick)(struct proplet_runtime *runtime);
	void (*close)(struct proplet_runtime *runtime);
};

/* wasmtime's C library, `path` a shared object as PyPI's `wasmtime` carries it. Returns NULL and
 * says why in `words`. The engine is the process's only one. */
struct proplet_runtime *proplet_wasmtime(const char *path, char *words, size_t words_size);

/* WAMR, its memory a pool the caller gives: modules, instances and linear memories come from it
 * and from nowhere else. Returns NULL where the pool is too small. The only one, too. */
struct proplet_runtime *proplet_wamr(void *pool, size_t pool_size);

/* A word for an end, never NULL. */
const char *proplet_end_word(enum proplet_end end);

#endif
