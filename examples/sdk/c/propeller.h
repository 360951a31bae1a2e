/* propeller.h: what a module may ask of its host.
 *
 * Of a Function the host calls one export for each request, with no arguments and either no result or
 * an int: 0 it went well, anything else it failed. What is about a request is for Functions only; the
 * rest is for Tasks and Daemons too. A call with an address outside of the memory, or against a limit,
 * ends the module with a reason that the caller sees.
 *
 *     clang --target=wasm32 -O2 -nostdlib -Wl,--no-entry -o function.wasm function.c
 *
 * The module exports its memory as "memory" (wasm-ld does).
 */
#ifndef PROPELLER_H
#define PROPELLER_H

#define PROPELLER_IMPORT(name) \
	__attribute__((import_module("propeller"), import_name(#name)))
#define PROPELLER_EXPORT(name) __attribute__((export_name(#name)))

/* What `_get` answers for a name that is not there. */
#define PROPELLER_ABSENT (-1)

enum propeller_level {
	PROPELLER_ERROR,
	PROPELLER_WARNING,
	PROPELLER_INFO,
	PROPELLER_DEBUG,
};

/* Bytes of the request. */
PROPELLER_IMPORT(input_len) int propeller_input_len(void);

/* Copies up to `len` bytes of the request from `off` on to `dst`; how many that were. */
PROPELLER_IMPORT(input_read) int propeller_input_read(void *dst, int off, int len);

/* Appends to the answer: 128 KiB in all. */
PROPELLER_IMPORT(output_write) void propeller_output_write(const void *src, int len);

/* The answer's HTTP status, 200 to 599, and its content type. */
PROPELLER_IMPORT(output_status) void propeller_output_status(int status);
PROPELLER_IMPORT(output_type) void propeller_output_type(const char *type, int len);

/* Of the request: `method`, `path`, `query` or `header:NAME`. Copies up to `cap` bytes and returns
 * the length of all of it, or PROPELLER_ABSENT. */
PROPELLER_IMPORT(request_get)
int propeller_request_get(const char *name, int len, void *dst, int cap);

/* The same for a variable of `spec.run.env`. */
PROPELLER_IMPORT(config_get)
int propeller_config_get(const char *name, int len, void *dst, int cap);

/* A line for `propeller logs`; 4 KiB of it are kept. */
PROPELLER_IMPORT(log) void propeller_log(int level, const char *text, int len);

/* A number that the module tells of itself: at most 64 names of at most 128 bytes. */
PROPELLER_IMPORT(metric) void propeller_metric(const char *name, int len, double value);

/* Unix milliseconds. */
PROPELLER_IMPORT(now_ms) long long propeller_now_ms(void);

/* Random bytes of the system, 64 KiB at a time. */
PROPELLER_IMPORT(random) void propeller_random(void *dst, int len);

/* What `propeller_publish` and `propeller_receive` answer besides. */
enum propeller_message {
	PROPELLER_TOO_LONG = -2, /* above maxSize: not published */
	PROPELLER_TOO_FAST = -3, /* above rate: not published, try again later */
	PROPELLER_NOTHING = -4,  /* no message came in time */
};

/* Publishes to a topic of `spec.run.topics`, by its name there: 0, PROPELLER_ABSENT where it is not
 * granted, or one of the above. What is taken is sent when there is a link, in order. */
PROPELLER_IMPORT(publish)
int propeller_publish(const char *name, int len, const void *data, int size);

/* The next message of a topic: its length, PROPELLER_ABSENT or PROPELLER_NOTHING. Waits up to
 * `wait_ms`, 60000 at most. One longer than `cap` is not copied and stays. Not for Functions. */
PROPELLER_IMPORT(receive)
int propeller_receive(const char *name, int len, void *dst, int cap, int wait_ms);

/* The topic of the message taken last, below the channel: its length; copies up to `cap` bytes. */
PROPELLER_IMPORT(receive_topic) int propeller_receive_topic(char *dst, int cap);

/* What `propeller_point_write` answers where the device's owner does not allow that value. */
#define PROPELLER_BEYOND (-2)

/* Puts the value of a sensor of `spec.run.points` into `*value`: 0, PROPELLER_ABSENT where it is not
 * granted, PROPELLER_TOO_FAST, or PROPELLER_NOTHING where the device gives none now. */
PROPELLER_IMPORT(point_read) int propeller_point_read(const char *name, int len, double *value);

/* Drives an output of `spec.run.points`: 0 or one of these. When the module ends, the device puts it
 * back to what is safe. */
PROPELLER_IMPORT(point_write) int propeller_point_write(const char *name, int len, double value);

/* The same with a literal. */
#define PROPELLER_READ(name, value) propeller_point_read(name, (int)sizeof(name) - 1, value)
#define PROPELLER_WRITE(name, value) propeller_point_write(name, (int)sizeof(name) - 1, value)
#define PROPELLER_PUBLISH(name, data, size) \
	propeller_publish(name, (int)sizeof(name) - 1, data, size)
#define PROPELLER_RECEIVE(name, dst, cap, wait_ms) \
	propeller_receive(name, (int)sizeof(name) - 1, dst, cap, wait_ms)
#define PROPELLER_TYPE(text) propeller_output_type(text, (int)sizeof(text) - 1)
#define PROPELLER_LOG(level, text) propeller_log(level, text, (int)sizeof(text) - 1)
#define PROPELLER_METRIC(name, value) propeller_metric(name, (int)sizeof(name) - 1, value)
#define PROPELLER_REQUEST(name, dst, cap) \
	propeller_request_get(name, (int)sizeof(name) - 1, dst, cap)
#define PROPELLER_CONFIG(name, dst, cap) propeller_config_get(name, (int)sizeof(name) - 1, dst, cap)

#endif
