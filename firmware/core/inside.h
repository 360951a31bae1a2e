/* Inside of the agent: what its parts call of each other. */
#ifndef PP_INSIDE_H
#define PP_INSIDE_H

#include <string.h>

#include "proplet/agent.h"

#define PP_NEVER INT64_MAX

/* Keeps the frame of what is seldom called out of the frames that are deep. */
#if defined(__GNUC__)
#define PP_APART __attribute__((noinline))
#else
#define PP_APART
#endif

static inline int64_t pp_min(int64_t one, int64_t other)
{
	return one < other ? one : other;
}

static inline int64_t pp_max(int64_t one, int64_t other)
{
	return one > other ? one : other;
}

/* -- words ------------------------------------------------------------------------------- */

/* A line that is put together; what does not fit is cut, as pp_words_cut does. */
struct pp_words {
	char at[PROPLET_NOTE + 1]; /* terminated */
	size_t len;
	bool cut;
};
void pp_words_init(struct pp_words *words);
void pp_words_add(struct pp_words *words, const char *text);
void pp_words_text(struct pp_words *words, struct proplet_text text);
void pp_words_number(struct pp_words *words, uint64_t number);
struct proplet_text pp_words_all(const struct pp_words *words);
/* At most `limit` bytes, whole characters, three dots for what is missing; written to `out`. */
size_t pp_cut(struct proplet_text text, char *out, size_t limit);

static inline struct proplet_text pp_words_of(const char *text)
{
	return (struct proplet_text){text, strlen(text)};
}

/* -- the pool of notes ------------------------------------------------------------------- */

void pp_note_set(struct pp_agent *a, struct pp_note *note, struct proplet_text text);
struct proplet_text pp_note_get(const struct pp_agent *a, struct pp_note note);
bool pp_note_is(const struct pp_agent *a, struct pp_note note, struct proplet_text text);

/* -- agent.c ----------------------------------------------------------------------------- */

int pp_emit(struct pp_agent *a, const struct pp_effect *effect);
int pp_emit_digest(struct pp_agent *a, enum pp_do what, const uint8_t *digest, uint64_t size);
void pp_say(struct pp_agent *a, enum proplet_level level, const char *text);
/* A buffer for a message in the scratch; then it is published. */
void pp_message_begin(struct pp_agent *a, struct pp_out *out);
int pp_publish(struct pp_agent *a, const struct pp_shape *shape, const struct pp_out *out,
	       bool retain, const char *op);
void pp_publish_hello(struct pp_agent *a);
void pp_subscribe(struct pp_agent *a, const enum pp_topic *topics, unsigned count, bool again);
/* Say who we are and what we hold, and ask again for all that is open. */
void pp_announce(struct pp_agent *a, struct pp_now now);
/* The end of every turn: look at the whole state and ask for what is due. */
void pp_turn(struct pp_agent *a, struct pp_now now);
#define PP_TRUST_EVERY 2000 /* ms between two requests for the trust document */
void pp_hash_sink(void *ctx, const void *data, size_t len);
struct pp_hashing {
	const struct proplet_port *port;
	struct proplet_hash state;
	uint64_t size;
};
void pp_hashing_begin(struct pp_hashing *h, const struct proplet_port *port);
void pp_hashing_end(struct pp_hashing *h, uint8_t digest[32]);

/* -- trust.c ----------------------------------------------------------------------------- */

/* PP_TAKEN and *newer, or why not. */
enum pp_reject pp_trust_take(struct pp_agent *a, const uint8_t *frame, size_t len, bool *newer);
/* Opens and reads into memory.incoming. */
enum pp_reject pp_open(struct pp_agent *a, enum pp_purpose purpose, const struct pp_shape *shape,
		       const uint8_t *frame, size_t len, struct pp_view *message, uint8_t *roles);

/* -- releases.c -------------------------------------------------------------------------- */

/* What was stored lies in memory.releases: a frame, and how many digests that are held. */
void pp_releases_load(struct pp_agent *a, size_t frame_len, size_t held);
/* The keys that are believed have changed. */
void pp_releases_trusted_anew(struct pp_agent *a);
bool pp_releases_wanted(const struct pp_agent *a);
enum pp_reject pp_releases_hear(struct pp_agent *a, const uint8_t *frame, size_t len);
void pp_releases_hold(struct pp_agent *a, struct pp_now now);
bool pp_releases_forbid(const struct pp_agent *a, const uint8_t *digest, struct pp_now now,
			struct pp_words *why);

/* -- runs.c ------------------------------------------------------------------------------ */

void pp_runs_load(struct pp_agent *a, struct pp_view list, struct pp_now now);
/* Room for all of the list, beside guests that must be stopped first? */
bool pp_runs_have_room(const struct pp_agent *a, struct pp_view list);
void pp_runs_want(struct pp_agent *a, struct pp_view list);
void pp_runs_settle(struct pp_agent *a, struct pp_now now);
void pp_runs_ended(struct pp_agent *a, struct pp_run *run, const struct pp_outcome *outcome,
		   struct pp_now now);
void pp_runs_drain(struct pp_agent *a);
/* NULL, or why it cannot be (in *words). */
const char *pp_runs_cancel(struct pp_agent *a, const uint8_t *uid, const uint8_t *id,
			   struct pp_words *words);
const char *pp_runs_restart(struct pp_agent *a, const uint8_t *uid, const uint8_t *id);
bool pp_runs_idle(const struct pp_agent *a);
bool pp_runs_moving(const struct pp_agent *a);
int64_t pp_runs_due(const struct pp_agent *a);
struct pp_run *pp_runs_find(const struct pp_agent *a, const uint8_t *uid, const uint8_t *id);
/* The next run of the inventory after `last` (NULL: the first), by uid and run. */
const struct pp_run *pp_runs_after(const struct pp_agent *a, const struct pp_run *last);
void pp_run_report(const struct pp_agent *a, const struct pp_run *run, struct pp_out *out);
uint8_t pp_run_state(const struct pp_run *run);
bool pp_run_alive(const struct pp_run *run);

/* -- plan.c: an entry, and what fits ----------------------------------------------------- */

#define PP_AOT "aot:" /* how a hello begins the words for native code, among the imports */

void pp_plan_read(struct pp_plan *plan, struct pp_view entry);
/* Why this device will never run it so; false: it might. */
bool pp_refusal(const struct pp_agent *a, const struct pp_run *run, struct pp_words *why);
bool pp_fits(const struct pp_agent *a, const struct pp_run *run);
void pp_free(const struct pp_agent *a, uint64_t *memory, uint64_t *tasks);
bool pp_is_older(const struct pp_run *run, const struct pp_run *newer);
bool pp_has_older(const struct pp_agent *a, const struct pp_run *run);
bool pp_awaited(struct pp_agent *a, const struct pp_run *old);
bool pp_stale(const struct pp_run *run);
/* Is it to stay: a guest that is kept running, a schedule? */
bool pp_lasts(const struct pp_run *run);
bool pp_kills_first(const struct pp_run *run);
bool pp_hands_over(const struct pp_run *run);
bool pp_could_start(const struct pp_run *run);

/* -- autonomy.c: time without a word of the manager ---------------------------------------- */

void pp_autonomy_booted(struct pp_agent *a, const struct pp_stored *stored, struct pp_now now);
/* Is the manager there? */
void pp_autonomy_contact(struct pp_agent *a, struct pp_now now);
/* Ms without a word. */
int64_t pp_autonomy_silence(const struct pp_agent *a, struct pp_now now);
void pp_autonomy_save(struct pp_agent *a, struct pp_now now);
int64_t pp_autonomy_due(const struct pp_agent *a, struct pp_now now);
/* Why it may not go on, or begin, without the manager. */
bool pp_alone(const struct pp_agent *a, const struct pp_plan *plan, struct pp_words *why);

/* -- timetable.c: schedules that are kept here -------------------------------------------- */

void pp_times_load(struct pp_agent *a);
/* Is a place left for the schedule of this run? */
bool pp_times_room(const struct pp_agent *a, const struct pp_run *run);
void pp_times_begin(struct pp_agent *a, struct pp_run *run, struct pp_now now);
/* Begin what its time has come for; take in what an edit says between two runs. */
void pp_times_keep(struct pp_agent *a, struct pp_run *run, struct pp_now now);
void pp_times_stop(struct pp_agent *a, struct pp_run *run, struct pp_effect *effect);
/* The schedule that began this run of a guest; NULL: none. */
struct pp_run *pp_times_owner(const struct pp_agent *a, const uint8_t *uid, const uint8_t *child);
void pp_times_over(struct pp_agent *a, struct pp_run *run, const struct pp_outcome *outcome,
		   struct pp_now now);
void pp_times_leave(struct pp_agent *a, const struct pp_run *run);
int64_t pp_times_due(const struct pp_agent *a, const struct pp_run *run);
/* The run whose log is meant: of a schedule, its newest. */
const uint8_t *pp_times_log(const struct pp_agent *a, const struct pp_run *run);
size_t pp_times_report(const struct pp_agent *a, const struct pp_run *run, struct pp_out *out);

/* -- modules.c --------------------------------------------------------------------------- */

/* NULL when all is here, else what is missing. Asks for what is due. */
struct pp_blob *pp_modules_want(struct pp_agent *a, const struct pp_plan *plan, struct pp_now now,
				bool *present);
void pp_modules_started(struct pp_agent *a, const struct pp_plan *plan);
void pp_modules_fetched(struct pp_agent *a, const uint8_t *digest);
void pp_modules_gave_up(struct pp_agent *a, const uint8_t *digest, struct proplet_text words,
			struct pp_now now);
void pp_modules_retry(struct pp_agent *a);
/* Emits in_use when it changed. */
void pp_modules_settle(struct pp_agent *a);
bool pp_modules_need(const struct pp_agent *a, const uint8_t *digest);
int64_t pp_modules_due(const struct pp_agent *a);

/* -- documents.c ------------------------------------------------------------------------- */

bool pp_synced(const struct pp_agent *a, struct pp_now now);
/* The keys that are believed have changed. */
void pp_documents_trusted_anew(struct pp_agent *a, struct pp_now now);
/* signer: kid of the key that signed it, 16 digits. */
void pp_documents_hear(struct pp_agent *a, struct pp_view document, struct proplet_text signer,
		       struct pp_now now);
void pp_documents_refuse(struct pp_agent *a, const struct pp_refused *refused, struct pp_now now);
void pp_documents_ask_again(struct pp_agent *a);
bool pp_documents_take(struct pp_agent *a, const uint8_t *digest, const uint8_t *data, size_t len,
		       struct pp_now now);
bool pp_documents_give_up(struct pp_agent *a, const uint8_t *digest, struct pp_now now);
bool pp_documents_await(const struct pp_agent *a, const uint8_t *digest);

/* -- downloads.c, uploads.c -------------------------------------------------------------- */

bool pp_downloads_begin(struct pp_agent *a, const uint8_t *digest, uint64_t size, uint64_t have,
			struct pp_now now);
void pp_downloads_forget(struct pp_agent *a, const uint8_t *digest);
void pp_downloads_spare(struct pp_agent *a);
void pp_downloads_reopen(struct pp_agent *a, struct pp_now now);
bool pp_downloads_hear(struct pp_agent *a, const struct pp_chunk *chunk, struct pp_now now);
/* One that is given up: its digest, and why in words. Called until false. */
bool pp_downloads_tick(struct pp_agent *a, struct pp_now now, uint8_t digest[32],
		       struct pp_words *words);
int64_t pp_downloads_due(const struct pp_agent *a);
bool pp_uploads_add(struct pp_agent *a, const uint8_t *digest, uint64_t size, bool lasting);
struct pp_upload *pp_uploads_find(struct pp_agent *a, const uint8_t *digest);
bool pp_uploads_forget(struct pp_agent *a, const uint8_t *digest);
void pp_uploads_drop_passing(struct pp_agent *a, const uint8_t *but);
void pp_uploads_reopen(struct pp_agent *a, struct pp_now now);
bool pp_uploads_hear(struct pp_agent *a, struct pp_view ack, struct pp_now now);
void pp_uploads_tick(struct pp_agent *a, struct pp_now now);
int64_t pp_uploads_due(const struct pp_agent *a);

/* -- operations.c ------------------------------------------------------------------------ */

void pp_operations_hear(struct pp_agent *a, struct pp_view op, struct pp_now now);
void pp_operations_settle(struct pp_agent *a);

/* -- reporting.c ------------------------------------------------------------------------- */

void pp_reporting_init(struct pp_agent *a);
void pp_reporting_mark(struct pp_agent *a, struct pp_now now);
void pp_reporting_settled(struct pp_agent *a, struct pp_now now);
void pp_reporting_at_once(struct pp_agent *a, struct pp_now now);
void pp_reporting_again(struct pp_agent *a, struct pp_now now);
bool pp_reporting_refuse(struct pp_agent *a, const struct pp_refused *refused, struct pp_now now);
void pp_reporting_tick(struct pp_agent *a, struct pp_now now);
void pp_reporting_asked_again(struct pp_agent *a, struct pp_now now);
int64_t pp_reporting_due(const struct pp_agent *a);

#endif
