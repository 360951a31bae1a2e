/*
 * What the portable core needs of the device it runs on. A port fills these two structs once and
 * hands them to proplet_init (device.h); the core calls them from one thread only, the one that
 * calls proplet_heard, proplet_tick and the others.
 *
 * Every call returns 0 or one of enum proplet_error, unless it says otherwise. No errno: its numbers
 * differ between libraries. Nothing here may be kept by the callee after it returned, except what
 * it was told to store. Digests are the 32 raw bytes of a SHA-256.
 */
#ifndef PROPLET_PORT_H
#define PROPLET_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROPLET_PORT_VERSION 2 /* grows with every change that an old port would get wrong */

enum proplet_error {
	PROPLET_OK = 0,
	PROPLET_MISSING = -1, /* there is no such thing stored */
	PROPLET_FULL = -2,    /* no room: storage, queue, slots, memory */
	PROPLET_BROKEN = -3,  /* the device failed: flash, driver, crypto library */
	PROPLET_REFUSED = -4, /* not valid: a signature, a module, an argument */
	PROPLET_BUSY = -5     /* not now; ask again */
};

enum proplet_alg { PROPLET_ED25519 = 1, PROPLET_P256 = 2 };

/*
 * Small records, by number. The core uses those below 0x1000 and no others; a port keeps its own
 * (credentials, network) from 0x1000 on. A record is at most the document buffer plus 128 bytes.
 */
enum proplet_record {
	PROPLET_REC_BOOT = 0x01,    /* inst and the boot counter */
	PROPLET_REC_TRUST = 0x02,   /* the newest trust frame, as it came */
	PROPLET_REC_DESIRED = 0x03, /* the document accepted last */
	PROPLET_REC_UPLOADS = 0x04, /* blobs the manager must still get */
	PROPLET_REC_RING = 0x05,    /* the last decisions */
	PROPLET_REC_RELEASES = 0x06, /* the newest release list, as it came */
	PROPLET_REC_HELD = 0x07,    /* modules that were held while it was good */
	PROPLET_REC_SILENCE = 0x08, /* the manager's last word, and how long ago */
	PROPLET_REC_TIMES = 0x10,   /* + place: one schedule each, 32 at most */
	PROPLET_REC_RUN = 0x100     /* + slot: one run each */
};
#define PROPLET_REC_PORT 0x1000

/* Room for the hash state of the port's library, so that the core can hold one without allocating. */
struct proplet_hash {
	uint64_t opaque[32];
};

enum proplet_level { PROPLET_INFO = 0, PROPLET_WARNING = 1, PROPLET_ERROR = 2 };

/* Why the device started, for the ring of decisions. */
enum proplet_reset {
	PROPLET_RESET_UNKNOWN = 0,
	PROPLET_RESET_POWER = 1,
	PROPLET_RESET_SOFT = 2,
	PROPLET_RESET_WATCHDOG = 3,
	PROPLET_RESET_FAULT = 4
};

struct proplet_port {
	void *ctx; /* first argument of every call */

	/* -- time and chance ---------------------------------------------------------------- */

	/* Milliseconds of a clock that counts through sleep. It may step back: the core copes. */
	uint64_t (*mono)(void *ctx);
	/* Unix milliseconds; false while nobody set the clock (then *ms is the best guess, or 0). */
	bool (*wall)(void *ctx, uint64_t *ms);
	/* Random bytes fit for an identity. PROPLET_BROKEN where there is no real source. */
	int (*random)(void *ctx, void *out, size_t len);

	/* -- cryptography: libsodium, Mbed TLS, PSA; never our own -------------------------- */

	/* A guest that trains uses the hash on its own thread too, with a state of its own. */
	int (*hash_begin)(void *ctx, struct proplet_hash *state);
	int (*hash_add)(void *ctx, struct proplet_hash *state, const void *data, size_t len);
	int (*hash_end)(void *ctx, struct proplet_hash *state, uint8_t digest[32]);
	/* Is `sig` by the key `pub` (32 bytes Ed25519, 65 of an uncompressed point P-256) over `msg`?
	 * P-256: r and s, ECDSA over SHA-256 of msg. PROPLET_OK, PROPLET_REFUSED, or
	 * PROPLET_MISSING where the library has no such algorithm. */
	int (*verify)(void *ctx, enum proplet_alg alg, const uint8_t *pub, size_t pub_len,
		      const uint8_t sig[64], const void *msg, size_t len);
	/* Sign with the device's own key, which never leaves the port. */
	int (*sign)(void *ctx, uint8_t sig[64], const void *msg, size_t len);

	/* -- secrets: all three, or NULL where this device opens none (config.box) ----------- */

	/* What the device's encryption key, which never leaves the port, and `pub` agree on: X25519
	 * (32 bytes), or the x coordinate of ECDH on P-256 (65 of an uncompressed point).
	 * PROPLET_REFUSED for what is no point, or agrees on nothing but zeros. */
	int (*agree)(void *ctx, const uint8_t *pub, size_t pub_len, uint8_t shared[32]);
	/* HKDF-SHA256, both steps. */
	int (*derive)(void *ctx, const uint8_t secret[32], const uint8_t *salt, size_t salt_len,
		      const void *info, size_t info_len, uint8_t *out, size_t len);
	/* ChaCha20-Poly1305 (RFC 8439): len bytes with the tag at their end become len - 16.
	 * PROPLET_REFUSED, and nothing in `out`, where the tag is wrong. */
	int (*unseal)(void *ctx, const uint8_t key[32], const uint8_t nonce[12], const void *aad,
		      size_t aad_len, const uint8_t *sealed, size_t len, uint8_t *out);

	/* -- records: each write is atomic, and durable when the call returns --------------- */

	/* *len is the size of the record; PROPLET_FULL when that is above `cap` (nothing useful in
	 * buf), PROPLET_MISSING, PROPLET_BROKEN. */
	int (*get)(void *ctx, uint16_t id, void *buf, size_t cap, size_t *len);
	/* After a power cut at any moment get() gives the old record whole or the new one whole. */
	int (*put)(void *ctx, uint16_t id, const void *buf, size_t len);
	/* PROPLET_OK too when there was none. */
	int (*del)(void *ctx, uint16_t id);

	/* -- blobs, by digest: modules, models, documents on their way down; results up ----- */

	/* How many bytes from the start are surely stored, and whether the blob was sealed. 0 bytes
	 * where nothing is. After a power cut `have` may be less than what was written, never more. */
	int (*blob_have)(void *ctx, const uint8_t digest[32], uint32_t *have, bool *sealed);
	/* Store bytes at `off`, which is `have` or less. `total` is the size in the end: refuse with
	 * PROPLET_FULL at off 0 what cannot fit. */
	int (*blob_write)(void *ctx, const uint8_t digest[32], uint32_t off, uint32_t total,
			  const void *data, size_t len);
	/* Read what was written. PROPLET_MISSING beyond its end. */
	int (*blob_read)(void *ctx, const uint8_t digest[32], uint32_t off, void *buf, size_t len);
	/* Its digest was verified: durable from here on, and blob_have says sealed. */
	int (*blob_seal)(void *ctx, const uint8_t digest[32], uint32_t total);
	int (*blob_drop)(void *ctx, const uint8_t digest[32]);
	/* The digest of the blob at place `index`, 0 up, in any order; PROPLET_MISSING at the end. A
	 * drop may move others: the core starts again after one. */
	int (*blob_at)(void *ctx, uint32_t index, uint8_t digest[32]);
	/* Bytes of storage left for blobs. */
	uint32_t (*blob_room)(void *ctx);

	/* -- the broker --------------------------------------------------------------------- */

	/* Queue for sending; payload and topic are copied or sent before this returns. qos 0 or 1.
	 * PROPLET_FULL or PROPLET_BUSY: the core tells it again later. */
	int (*publish)(void *ctx, const char *topic, const void *payload, size_t len, uint8_t qos,
		       bool retain);
	/* QoS 1. `again`: UNSUBSCRIBE first, so that what is retained comes once more. */
	int (*subscribe)(void *ctx, const char *topic, bool again);

	/* -- the device --------------------------------------------------------------------- */

	enum proplet_reset (*reset_cause)(void *ctx);
	void (*reboot)(void *ctx);
	/* One line for the device's own log; no newline in it. */
	void (*say)(void *ctx, enum proplet_level level, const char *line);
};

/* -- guests --------------------------------------------------------------------------------- */

#define PROPLET_NOTE 256 /* bytes of a result or an error that travel in a report */

/* A piece of text that is not terminated. */
struct proplet_text {
	const char *at;
	size_t len;
};

#define PROPLET_UNLIMITED UINT64_MAX

struct proplet;

/*
 * One guest to check or to run. Everything points into buffers of the core and holds only during
 * the call: an engine copies what its runner needs. args and env are read with the two functions
 * below (env: "NAME=value").
 */
struct proplet_guest {
	uint8_t slot; /* 0..slots-1: which place of the device it takes; names it until it ended */
	uint8_t uid[16], run[16];
	uint32_t restarts;
	bool daemon, trains; /* trains: a step of a round of federated learning */
	bool aot; /* `module` is native code for the engine's `aot`, not Wasm */
	uint8_t module[32];
	uint32_t module_size;
	struct proplet_text ref, entrypoint, stdin_text;
	uint16_t args, env, secrets; /* how many */
	const struct proplet *device; /* whose guest it is: opens its secrets */
	uint64_t memory, fuel, timeout_ms, output; /* PROPLET_UNLIMITED where the entry has none */
	const uint8_t *entry; /* the whole entry as checked CBOR (wire.h), for what is not here */
	size_t entry_len;
};

/* False beyond the end. */
bool proplet_guest_arg(const struct proplet_guest *guest, unsigned index, struct proplet_text *out);
bool proplet_guest_env(const struct proplet_guest *guest, unsigned index, struct proplet_text *out);

/* A secret, opened: "NAME=value", terminated, *len without the terminator. PROPLET_MISSING beyond the
 * end, PROPLET_FULL where it does not fit, PROPLET_REFUSED where it was not sealed to this device
 * for this run. Whoever calls this wipes `to` when the guest has ended, and keeps no other copy. */
int proplet_guest_secret(const struct proplet_guest *guest, unsigned index, char *to, size_t cap,
			 size_t *len);

/* Zeros that no compiler leaves out. */
static inline void proplet_wipe(void *memory, size_t size)
{
	volatile uint8_t *at = (volatile uint8_t *)memory;

	while (size-- > 0) {
		*at++ = 0;
	}
}

/* How a guest ended. */
struct proplet_ended {
	uint8_t slot;
	bool ok;
	bool has_exit, has_result, has_blob;
	int64_t exit;
	char result[PROPLET_NOTE]; /* UTF-8, result_len bytes; what is longer is a blob */
	uint16_t result_len;
	uint8_t blob[32]; /* stored and sealed by the engine through the port */
	uint32_t blob_size;
	char error[PROPLET_NOTE]; /* why not ok, in plain words for a person */
	uint16_t error_len;
};

enum proplet_stream { PROPLET_BOTH = 0, PROPLET_STDOUT = 1, PROPLET_STDERR = 2 };

/*
 * What runs guests. start() only begins: the guest runs on a thread of the engine, never in the
 * caller's, and poll() tells of its end. A guest that spins must be stoppable.
 */
struct proplet_engine {
	void *ctx;
	const char *name;    /* of the runtime, for hello: "wamr", "wasmtime" */
	const char *version;
	uint8_t slots;       /* guests at one time, at most 32 */
	uint64_t memory;     /* bytes for guests in all */
	const char *const *imports; /* "module" or "module.name", NULL at the end: for hello and admission */
	/* Native code that it runs, "arch/wamr-version" (at most 63 bytes); NULL: none. Nobody verifies
	 * such code and its instructions are not counted: set it only where the device's owner says so. */
	const char *aot;

	/* Can the module (a sealed blob, already admitted by the core) run so? On PROPLET_REFUSED
	 * `why` holds words, terminated. May also warm a cache. PROPLET_BUSY: asked again later. */
	int (*check)(void *ctx, const struct proplet_guest *guest, char *why, size_t cap);
	/* Begin. An error here counts as an end with these words. */
	int (*start)(void *ctx, const struct proplet_guest *guest, char *why, size_t cap);
	/* Stop it; it is told by poll() all the same. Called again for one that stops already: no
	 * matter. Within 100 ms. */
	void (*stop)(void *ctx, uint8_t slot);
	/* One guest that ended since the last call: true and `out` filled. Never blocks. */
	bool (*poll)(void *ctx, struct proplet_ended *out);
	/* Up to cap bytes of what the guest of this slot wrote, from `off` of all it ever wrote on
	 * that stream; *first: the oldest offset still held. Returns the count. The log of a slot
	 * lives until the next start() in it. NULL: no logs here. */
	size_t (*log_read)(void *ctx, uint8_t slot, enum proplet_stream stream, uint32_t off,
			   char *buf, size_t cap, uint32_t *first, uint32_t *end);
};

#endif
