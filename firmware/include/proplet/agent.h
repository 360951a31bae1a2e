/*
 * The agent as a state machine: what is heard goes in, what must be done comes out, one call of
 * `pp_shell.effect` each. No I/O, no clock, no chance of its own. The twin of proplet/agent.py: both
 * hold the conversations in schemas/wire/vectors/agent, line by line.
 *
 * An effect of the group "persisted" that fails is taken back: what it would have allowed (a start,
 * a document) does not happen, and is tried again.
 */
#ifndef PROPLET_AGENT_H
#define PROPLET_AGENT_H

#include "proplet/port.h"
#include "proplet/wire.h"

/* How much of each there is room for; a small device may have less, the same in every file. */
#ifndef PP_KEYS
#define PP_KEYS 8 /* of a trust document; more managers and gateways are not taken */
#endif
#ifndef PP_SOURCES
#define PP_SOURCES 8 /* of operations, each with a counter, in one connection */
#endif
#ifndef PP_OPEN
#define PP_OPEN 8 /* operations under way */
#endif
#ifndef PP_TRANSFERS
#define PP_TRANSFERS 4 /* blobs on their way down */
#endif
#ifndef PP_UPLOADS
#define PP_UPLOADS 8 /* blobs on their way up */
#endif
#define PP_WINDOW 4     /* pieces of a blob asked for at once, at most */
#define PP_COUNTS 32    /* reasons for which things were dropped */
#define PP_AGAIN 4
#define PP_PAST 16      /* results of one schedule held, at most */
#define PP_HEADROOM 96  /* bytes before a message in the scratch, free for a frame's head */

struct pp_now {
	int64_t mono; /* ms, never steps back: the caller sees to it */
	int64_t wall; /* Unix ms */
	bool synced;
};

enum pp_state {
	PP_PENDING,
	PP_FETCHING,
	PP_RUNNING,
	PP_BACK_OFF,
	PP_STOPPING,
	PP_SUCCEEDED,
	PP_FAILED,
	PP_INTERRUPTED,
	PP_REFUSED
}; /* as in the tables */

enum pp_phase {
	PP_PHASE_WAITING,
	PP_PHASE_FETCHING,
	PP_PHASE_PREPARING,
	PP_PHASE_RUNNING,
	PP_PHASE_STOPPING,
	PP_PHASE_BACK_OFF,
	PP_PHASE_ENDED
};

enum pp_why { PP_WHY_NONE, PP_WHY_REMOVED, PP_WHY_REPLACED, PP_WHY_RESTARTED, PP_WHY_CANCELLED, PP_WHY_DRAINED, PP_WHY_ALONE };

/* -- what is remembered of a run ----------------------------------------------------------- */

/* A run's record, to be stored or as it was read: texts point elsewhere. */
struct pp_record {
	const uint8_t *uid, *run, *digest;
	struct proplet_text cause, result, error;
	uint8_t mode, state; /* mode: PP_ENTRY_MODE_ONCE, .._DAEMON */
	bool has_exit, has_result, has_blob, tombstone;
	int64_t exit;
	const uint8_t *blob;
	uint64_t blob_size;
	uint32_t starts, failures;
	int64_t started, ended;
	int64_t spent; /* when it was stopped last for want of a word of the manager; 0: never */
	uint32_t order; /* grows with every tombstone: the oldest goes first */
};
void pp_record_write(struct pp_out *out, const struct pp_record *record);
bool pp_record_read(const uint8_t *data, size_t len, struct pp_record *record);

struct pp_times;
/* A schedule's record: its head, and `len` bytes of results as the report tells them. */
size_t pp_times_write(const struct pp_times *times, const uint8_t *items, size_t len, uint8_t *to);

/* A piece of the pool of notes. */
struct pp_note {
	uint16_t at, len;
};
enum pp_note_of { PP_NOTE_CAUSE, PP_NOTE_RESULT, PP_NOTE_ERROR, PP_NOTE_TROUBLE, PP_NOTE_UNFIT, PP_NOTES };

/* What of an entry is decided by. */
struct pp_plan {
	uint8_t digest[32]; /* of the entry */
	uint8_t module[32];
	uint8_t input[2][32]; /* model and layout of a round */
	uint64_t module_size, input_size[2];
	uint64_t memory, backoff_base, backoff_cap, ready_after;
	int64_t autonomy; /* ms without a word of the manager; PP_NEVER: for ever */
	uint32_t max_restarts;
	uint8_t inputs, mode, restart, update; /* update: 0 none, else 1 + its word's place */
	bool has_memory, has_max_restarts, has_model, trains;
	bool aot; /* `module` is native code that stands for the Wasm */
};

/* One run of the inventory: its record, and where it stands. */
struct pp_run {
	uint8_t uid[16], run[16], digest[32];
	uint8_t blob[32];
	uint64_t blob_size;
	int64_t exit, started, ended, spent;
	uint32_t starts, failures;
	uint16_t slot; /* of storage; stays while the run does */
	uint8_t mode, state;
	bool has_exit, has_result, has_blob;
	struct pp_note note[PP_NOTES];

	struct pp_plan plan;
	const uint8_t *entry; /* as listed last; NULL once it is not */
	size_t entry_len;
	uint8_t asked[32]; /* digest of the entry that is being prepared, or was */
	uint64_t memory;   /* granted to the guest */
	int64_t due, began;
	uint8_t phase, why;
	bool wanted, ready, has_asked, prepared, gone;
};

/* A finished task that is not listed: it may never start again. */
struct pp_stone {
	uint8_t uid[16], run[16];
	uint16_t slot;
	uint32_t order;
};

/* A schedule that is kept: what must not be forgotten, and where it stands. timetable.c */
struct pp_times {
	uint8_t uid[16], run[16], child[16]; /* child: the run of a guest it began last */
	int64_t began;	  /* from when on its slots count, Unix ms; 0: not yet */
	int64_t last;	  /* the newest slot used up */
	int64_t due;	  /* when that is run, or run again; 0: it is not */
	int64_t slot;	  /* of the run that is under way */
	int64_t started;  /* the same */
	int64_t next;	  /* the slot to come, once it was looked for */
	int64_t deadline, jitter;
	uint32_t attempt, slot_attempt, lost;
	uint8_t past, keep; /* results stored, and to be held */
	bool used, kept, running, cutting, looked, skip, replace;
};

/* A blob that runs need: on disk, asked for, or given up for now. */
struct pp_blob {
	uint8_t digest[32];
	int64_t due; /* monotonic ms to ask again; -1: none */
	struct pp_note failed;
	uint32_t tries;
	bool present, given_up;
};

/* -- what must be done ---------------------------------------------------------------------- */

enum pp_do {
	/* persisted: 0 when it is durable */
	PP_DO_SAVE_DESIRED, /* observed, iat, list */
	PP_DO_SAVE_RUN,     /* slot, record */
	PP_DO_DROP_RUN,     /* slot, key */
	PP_DO_SAVE_TRUST,   /* data */
	PP_DO_SAVE_RELEASES, /* data, again: a new frame; digest, size: so many that are held */
	PP_DO_SAVE_UPLOAD,  /* digest, size */
	PP_DO_DROP_UPLOAD,  /* digest */
	PP_DO_SAVE_TIMES,   /* key, slot, times, data; data NULL: no more */
	PP_DO_SAVE_SILENCE, /* iat: the last word of the manager, 0: not known; at: ms since */
	/* the broker */
	PP_DO_SUBSCRIBE, /* topics, again */
	PP_DO_PUBLISH,   /* shape, data, retain, op */
	PP_DO_SEND_CHUNK, /* digest, off, len, total */
	/* blobs */
	PP_DO_FETCH,       /* digest, size, body: answered by fetched, fetch_failed or fetch_from */
	PP_DO_WRITE_CHUNK, /* digest, off, total, data; at total: verify, then answer */
	PP_DO_KEEP_BLOB,   /* digest, size: written by pp_agent_inventory */
	PP_DO_FREE_BLOB,   /* digest */
	PP_DO_IN_USE,      /* what may be evicted changed: see pp_agent_uses */
	/* guests */
	PP_DO_PREPARE, /* run: answered by prepared or unfit */
	PP_DO_START,   /* run, run_id of the guest, restarts: answered by ended */
	PP_DO_STOP,    /* run, run_id of the guest, grace */
	PP_DO_FORGET_RUN, /* key */
	PP_DO_TAIL_LOG,   /* op, run, stream, tail, follow: answered by log_piece */
	/* the loop */
	PP_DO_WAKE, /* at */
	PP_DO_QUIT,
	PP_DO_SAY /* level, text */
};

struct pp_observed {
	int64_t fence, gen;
	uint8_t digest[32];
	bool has_digest;
};

struct pp_effect {
	enum pp_do what;
	const struct pp_run *run;
	const struct pp_record *record;
	const struct pp_times *times;
	const uint8_t *uid, *run_id; /* of a key */
	uint16_t slot;
	const struct pp_observed *observed;
	const char *signer; /* kid, with the document */
	int64_t iat, at;
	struct pp_view list;
	const uint8_t *digest;
	uint64_t size, off, total;
	const uint8_t *data;
	size_t len;
	const struct pp_shape *shape;
	bool retain, again, body;
	const char *op;
	const enum pp_topic *topics;
	unsigned topic_count;
	uint32_t restarts;
	int64_t grace, tail, follow;
	uint8_t stream;
	enum proplet_level level;
	const char *text;
};

struct pp_shell {
	void *ctx;
	int (*effect)(void *ctx, const struct pp_effect *effect);
	/* A number from low to high, both included. */
	int64_t (*chance)(void *ctx, int64_t low, int64_t high);
	/* The record stored in `slot`. */
	int (*load_run)(void *ctx, uint16_t slot, uint8_t *buf, size_t cap, size_t *len);
	/* The record of the schedule in place `slot`; NULL with no schedules. */
	int (*load_times)(void *ctx, uint16_t slot, uint8_t *buf, size_t cap, size_t *len);
	/* Answers an operation that only looks: text, at most cap bytes of it; 0: no such verb. NULL:
	 * there are none. */
	size_t (*tell)(void *ctx, const char *verb, size_t verb_len, char *text, size_t cap);
};

/* -- the whole ------------------------------------------------------------------------------ */

struct pp_agent_config {
	const uint8_t *hello; /* the hello of this boot as checked CBOR; outlives the agent */
	size_t hello_len;
	const char *root;     /* text of the root key */
	uint32_t chunk;       /* most bytes of one blob request */
	int64_t grace, debounce;
	uint64_t max_desired; /* bytes of a list that comes as a blob */
	uint16_t max_entries;
	uint8_t window;
	bool ship_training;
	bool cbor; /* reports go out as CBOR: decides what fits a payload */
};

/*
 * The memory it works in. The caller's, static on a microcontroller; sizes are the limits of what
 * it can hold, and what is above them is refused in words.
 */
struct proplet_memory {
	uint8_t *desired, *incoming; /* lists of tasks, as CBOR: the one held, the one that comes */
	size_t document;             /* bytes of each */
	uint8_t *scratch;            /* messages on their way out, records; 2 KiB or more */
	size_t scratch_size;
	char *notes;                 /* results, errors and causes of all runs together */
	size_t notes_size;           /* at most 65535 */
	struct pp_run *runs;         /* listed runs and those on their way out: as many entries as
				      * these, less the engine's slots, fit a document */
	size_t run_count;
	struct pp_stone *stones;     /* finished tasks that may not start again; 1 or more */
	size_t stone_count;
	struct pp_times *times;      /* schedules; NULL: keeps none */
	size_t times_count;          /* at most 32 */
	struct pp_blob *blobs;       /* three a run is always enough */
	size_t blob_count;
	uint8_t *early;              /* pieces that came before their turn; NULL with a window of 1 */
	size_t early_size;           /* (window - 1) * chunk */
	uint8_t *told;               /* the last full report, to be told again; NULL: it is not */
	size_t told_size;
	uint8_t *body;               /* a document's list that came as a blob; NULL: refuses those */
	size_t body_size;
	uint8_t *releases;           /* release lists: 32 bytes a run, a list's frame, and 36 bytes for
				      * each of its modules; NULL: none is kept, and where a fleet
				      * wants one nothing starts */
	size_t releases_size;
};

/* What a boot finds. entries: already in memory.desired, as checked CBOR. */
struct pp_stored {
	struct pp_observed observed;
	int64_t iat;
	size_t entries_len;
	char signer[17];
	const uint8_t *trust;
	size_t trust_len;
	size_t releases_len, held; /* in memory.releases: releases.c */
	bool has_silence;
	int64_t word, silence; /* as saved: Unix ms of the manager's last word, ms since */
	struct {
		uint8_t digest[32];
		uint64_t size;
	} uploads[PP_UPLOADS];
	unsigned upload_count;
};

struct pp_transfer {
	uint8_t digest[32];
	uint64_t size, have, next;
	struct pp_piece {
		uint64_t off;
		uint32_t req, len;
		uint8_t early; /* 0 asked for; else 1 + the place of its bytes in memory.early */
	} piece[2 * PP_WINDOW];
	uint8_t pieces, attempts;
	uint32_t first;
	int64_t not_before, heard;
	const char *error; /* NULL: the server has `server` bytes */
	uint64_t server;
	bool checking;
};

struct pp_upload {
	uint8_t digest[32];
	uint64_t size, have;
	int64_t next;
	uint32_t attempts;
	bool lasting, waiting;
};

struct pp_op {
	char id[65];
	uint8_t uid[16], run[16];
	bool log, cancel;
	uint32_t answered;
};

struct pp_refused {
	int64_t fence, gen;
	uint8_t digest[32];
	bool has_digest;
	const char *reason; /* NULL: none */
};

struct pp_document {
	bool here, given_up;
	int64_t fence, gen, iat, not_after;
	uint8_t digest[32], body[32];
	uint64_t size;
	char signer[17];
};

struct pp_agent {
	struct pp_agent_config config;
	struct proplet_memory memory;
	struct pp_shell shell;
	const struct proplet_port *port; /* hash and verify only */
	struct pp_view hello;
	char id[65];
	uint8_t inst[16];
	int64_t boot, heartbeat;
	uint64_t most_memory, most_tasks, max_module, max_payload;

	int64_t conn;
	bool connected;
	struct {
		bool known, online, present; /* present: said so in this connection */
		int64_t fence, conn, at;
		char src[65];
	} manager;
	struct {
		int64_t since, before, saved, word; /* saved: -1: not yet */
		int64_t elapsed; /* as saved last */
		bool there;
	} silence; /* autonomy.c */
	struct pp_now now; /* of the last look at all runs */
	int64_t silent; /* ms without a word of the manager, as of this turn */
	int64_t drain_by; /* -1: none */
	int64_t trust_asked;
	uint64_t storage_left;

	struct pp_key keys[PP_KEYS + 1]; /* the root first */
	size_t key_count;
	int64_t trust_version;
	bool releasing; /* trust names who signs release lists */
	struct {
		bool counts; /* a key that is believed signed it */
		size_t frame_len, list_len, held;
	} releases;

	struct {
		const char *word;
		uint32_t count;
	} counts[PP_COUNTS];
	unsigned count_count;

	/* runs */
	size_t run_count, stone_count, blob_count, notes_len;
	uint32_t stone_order;
	uint8_t models[2][32]; /* of the rounds started last; they stay */
	uint8_t model_count;
	uint64_t in_use;
	bool draining, changed;

	/* documents */
	struct pp_observed observed;
	int64_t floor;
	char signer[17]; /* kid of the key that signed it; "" where none is known */
	bool disowned;	 /* trust took that key back: what it signed outbids nobody */
	struct pp_document incoming;
	size_t desired_len;

	/* transfers */
	struct pp_transfer transfers[PP_TRANSFERS];
	unsigned transfer_count;
	uint32_t req;
	uint8_t early_used; /* bits of places of memory.early */
	struct pp_upload uploads[PP_UPLOADS];
	unsigned upload_count;

	/* operations */
	struct {
		char src[65];
		int64_t n;
	} sources[PP_SOURCES];
	unsigned source_count;
	struct pp_op ops[PP_OPEN];
	unsigned op_count;
	bool collect;

	/* reporting */
	struct {
		int64_t seq, due, early, not_before, told, refused_at; /* due, early: -1 none */
		struct pp_refused refused;
		uint32_t beats;
		struct {
			struct pp_observed observed;
			struct pp_refused refused;
			uint8_t inventory[32];
		} news;
		bool has_news, has_last, last_known; /* last_known: it names a document */
		int64_t repeats[PP_AGAIN + 2];
		unsigned repeat_count;
		size_t told_len;
	} report;
};

enum pp_reject pp_agent_init(struct pp_agent *agent, const struct pp_agent_config *config,
			     const struct proplet_memory *memory, const struct pp_shell *shell,
			     const struct proplet_port *port);

void pp_agent_boot(struct pp_agent *a, const struct pp_stored *stored, struct pp_now now);
void pp_agent_connected(struct pp_agent *a, int64_t conn, struct pp_now now);
void pp_agent_disconnected(struct pp_agent *a, struct pp_now now);
void pp_agent_drain(struct pp_agent *a, struct pp_now now);
void pp_agent_tick(struct pp_agent *a, struct pp_now now);
void pp_agent_hear(struct pp_agent *a, enum pp_topic topic, const uint8_t *payload, size_t len,
		   struct pp_now now);

/* Answers to effects. */
void pp_agent_fetch_from(struct pp_agent *a, const uint8_t digest[32], uint64_t size, uint64_t have,
			 struct pp_now now);
/* data: of a document's body, else NULL. */
void pp_agent_fetched(struct pp_agent *a, const uint8_t digest[32], const uint8_t *data, size_t len,
		      struct pp_now now);
void pp_agent_fetch_failed(struct pp_agent *a, const uint8_t digest[32], const char *words,
			   struct pp_now now);
void pp_agent_prepared(struct pp_agent *a, const uint8_t uid[16], const uint8_t run[16],
		       const uint8_t digest[32], struct pp_now now);
void pp_agent_unfit(struct pp_agent *a, const uint8_t uid[16], const uint8_t run[16],
		    const uint8_t digest[32], const char *words, struct pp_now now);
struct pp_outcome {
	bool ok, has_exit, has_result, has_blob;
	int64_t exit;
	struct proplet_text result, error;
	uint8_t blob[32];
	uint64_t blob_size;
};
void pp_agent_ended(struct pp_agent *a, const uint8_t uid[16], const uint8_t run[16],
		    const struct pp_outcome *outcome, struct pp_now now);
void pp_agent_upload_lost(struct pp_agent *a, const uint8_t digest[32], struct pp_now now);
void pp_agent_untold(struct pp_agent *a, struct pp_now now);
void pp_agent_log_piece(struct pp_agent *a, const char *op, uint8_t stream, struct proplet_text text,
			int64_t dropped, bool last, struct pp_now now);

/* Something that was dropped before the agent saw it: a word of its own, static. */
void pp_agent_count(struct pp_agent *a, const char *word);
/* May a blob not be evicted? */
bool pp_agent_uses(const struct pp_agent *a, const uint8_t digest[32]);
/* The text of the inventory, canonical JSON, as it is now. */
void pp_agent_inventory(struct pp_agent *a, struct pp_sink sink);
/* A status message about a connection, as CBOR. */
void pp_agent_status(const struct pp_agent *a, bool online, int64_t conn, struct pp_out *out);
const struct pp_run *pp_agent_find(const struct pp_agent *a, const uint8_t uid[16],
				   const uint8_t run[16]);
struct proplet_text pp_agent_note(const struct pp_agent *a, const struct pp_run *run,
				  enum pp_note_of which);

#endif
