/*
 * The agent's turns: the twin of proplet/agent.py. Frames are verified before anything in them is
 * read; trust.c believes, documents.c decides on desired documents, runs.c and lives.c on guests,
 * downloads.c and uploads.c on blobs, operations.c on ops, reporting.c on when to tell.
 */
#include "inside.h"

#define DRAIN_MARGIN 1500
#define IDLE 60000

/* -- small services of all parts ---------------------------------------------------------------- */

int pp_emit(struct pp_agent *a, const struct pp_effect *effect)
{
	return a->shell.effect(a->shell.ctx, effect);
}

int pp_emit_digest(struct pp_agent *a, enum pp_do what, const uint8_t *digest, uint64_t size)
{
	const struct pp_effect effect = {.what = what, .digest = digest, .size = size};

	return pp_emit(a, &effect);
}

void pp_say(struct pp_agent *a, enum proplet_level level, const char *text)
{
	const struct pp_effect effect = {.what = PP_DO_SAY, .level = level, .text = text};

	(void)pp_emit(a, &effect);
}

void pp_message_begin(struct pp_agent *a, struct pp_out *out)
{
	pp_out_init(out, a->memory.scratch + PP_HEADROOM, a->memory.scratch_size - PP_HEADROOM);
}

int pp_publish(struct pp_agent *a, const struct pp_shape *shape, const struct pp_out *out,
	       bool retain, const char *op)
{
	const struct pp_effect effect = {
		.what = PP_DO_PUBLISH,
		.shape = shape,
		.data = out->at,
		.len = out->len,
		.retain = retain,
		.op = op,
	};

	if (out->full) {
		pp_agent_count(a, "too_long_to_send");
		return PROPLET_FULL;
	}
	return pp_emit(a, &effect);
}

void pp_publish_hello(struct pp_agent *a)
{
	struct pp_out out;

	pp_message_begin(a, &out);
	pp_put_raw(&out, a->hello.at, a->hello.len);
	(void)pp_publish(a, &pp_shape_hello, &out, true, NULL);
}

void pp_hashing_begin(struct pp_hashing *h, const struct proplet_port *port)
{
	h->port = port;
	h->size = 0;
	(void)port->hash_begin(port->ctx, &h->state);
}

void pp_hash_sink(void *ctx, const void *data, size_t len)
{
	struct pp_hashing *const h = ctx;

	h->size += len;
	(void)h->port->hash_add(h->port->ctx, &h->state, data, len);
}

void pp_hashing_end(struct pp_hashing *h, uint8_t digest[32])
{
	memset(digest, 0, 32);
	(void)h->port->hash_end(h->port->ctx, &h->state, digest);
}

void pp_agent_count(struct pp_agent *a, const char *word)
{
	unsigned i;

	for (i = 0; i < a->count_count && strcmp(a->counts[i].word, word) != 0; i++) {
	}
	if (i == PP_COUNTS) {
		return;
	}
	if (i == a->count_count) {
		a->counts[i].word = word;
		a->counts[i].count = 0;
		a->count_count++;
	}
	a->counts[i].count++;
}

/* -- the end of every turn ---------------------------------------------------------------------- */

static void status(struct pp_agent *a, bool online)
{
	struct pp_out out;

	pp_message_begin(a, &out);
	pp_agent_status(a, online, a->conn, &out);
	(void)pp_publish(a, &pp_shape_status, &out, true, NULL);
}

void pp_subscribe(struct pp_agent *a, const enum pp_topic *topics, unsigned count, bool again)
{
	const struct pp_effect effect = {
		.what = PP_DO_SUBSCRIBE, .topics = topics, .topic_count = count, .again = again};

	(void)pp_emit(a, &effect);
}

static void finish_drain(struct pp_agent *a, struct pp_now now)
{
	const struct pp_effect quit = {.what = PP_DO_QUIT};

	if (a->drain_by < 0 || (!pp_runs_idle(a) && now.mono < a->drain_by)) {
		return;
	}
	if (a->connected) {
		pp_reporting_at_once(a, now);
		pp_reporting_tick(a, now);
		status(a, false);
		a->connected = false;
	}
	a->drain_by = -1;
	(void)pp_emit(a, &quit);
}

static PP_APART void give_up(struct pp_agent *a, const uint8_t *digest, struct proplet_text words,
			     struct pp_now now)
{
	pp_downloads_forget(a, digest);
	if (!pp_documents_give_up(a, digest, now)) {
		pp_modules_gave_up(a, digest, words, now);
		a->changed = true;
	}
	pp_say(a, PROPLET_WARNING, "gave up fetching a blob");
}

static PP_APART void fetch(struct pp_agent *a, struct pp_now now)
{
	struct pp_words words;
	uint8_t digest[32];

	while (pp_downloads_tick(a, now, digest, &words)) {
		give_up(a, digest, pp_words_all(&words), now);
	}
}

static void wake(struct pp_agent *a, bool served, struct pp_now now)
{
	struct pp_effect effect = {.what = PP_DO_WAKE, .at = pp_runs_due(a)};

	if (a->connected) {
		effect.at = pp_min(effect.at, pp_reporting_due(a));
	}
	if (served) {
		effect.at = pp_min(effect.at, pp_downloads_due(a));
		effect.at = pp_min(effect.at, pp_uploads_due(a));
	}
	if (a->drain_by >= 0) {
		effect.at = pp_min(effect.at, a->drain_by);
	}
	effect.at = pp_min(effect.at, pp_autonomy_due(a, now));
	if (effect.at == PP_NEVER) {
		effect.at = now.mono + IDLE;
	}
	effect.at = pp_max(effect.at, now.mono);
	(void)pp_emit(a, &effect);
}

void pp_turn(struct pp_agent *a, struct pp_now now)
{
	const bool away = a->manager.known && !a->manager.online;
	bool served;

	pp_releases_hold(a, now);
	pp_autonomy_contact(a, now);
	a->silent = pp_autonomy_silence(a, now);
	pp_runs_settle(a, now);
	pp_autonomy_save(a, now);
	pp_downloads_spare(a);
	pp_operations_settle(a);
	if (a->changed) {
		a->changed = false;
		pp_reporting_mark(a, now);
	}
	if (!pp_runs_moving(a)) {
		pp_reporting_settled(a, now);
	}
	served = a->connected && !away;
	if (served) {
		fetch(a, now);
	}
	finish_drain(a, now);
	if (a->connected) {
		pp_reporting_tick(a, now);
	}
	if (served) {
		pp_uploads_tick(a, now);
	}
	wake(a, served, now);
}

/* -- the life of the agent ---------------------------------------------------------------------- */

enum pp_reject pp_agent_init(struct pp_agent *a, const struct pp_agent_config *config,
			     const struct proplet_memory *memory, const struct pp_shell *shell,
			     const struct proplet_port *port)
{
	const struct pp_view hello = {config->hello, config->hello_len};
	const struct proplet_text id = pp_text_in(hello, PP_HELLO_ID);
	enum pp_reject why;
	size_t len;

	memset(a, 0, sizeof *a);
	a->config = *config;
	a->memory = *memory;
	a->shell = *shell;
	a->port = port;
	a->hello = hello;
	memcpy(a->id, id.at, id.len);
	memcpy(a->inst, pp_bytes_in(hello, PP_HELLO_INST, &len), 16);
	a->boot = pp_int_in(hello, PP_HELLO_BOOT);
	a->heartbeat = pp_int_in(hello, PP_HELLO_HEARTBEAT);
	a->most_memory = (uint64_t)pp_int_in(hello, PP_HELLO_MEMORY);
	a->most_tasks = (uint64_t)pp_int_in(hello, PP_HELLO_TASKS);
	a->max_module = (uint64_t)pp_int_in(hello, PP_HELLO_MAX_MODULE);
	a->max_payload = (uint64_t)pp_int_in(hello, PP_HELLO_MAX_PAYLOAD);
	a->drain_by = -1;
	a->trust_asked = -PP_TRUST_EVERY;
	if (a->config.window < 1 || a->config.window > PP_WINDOW) {
		a->config.window = 1;
	}
	pp_reporting_init(a);
	why = pp_key_read(port, pp_words_of(config->root), &a->keys[0]);
	a->keys[0].roles = PP_ROLE_ROOT;
	a->key_count = 1;
	return why;
}

void pp_agent_boot(struct pp_agent *a, const struct pp_stored *stored, struct pp_now now)
{
	bool newer;

	a->observed = stored->observed;
	a->floor = stored->iat;
	a->desired_len = stored->entries_len;
	if (stored->trust_len > 0 &&
	    pp_trust_take(a, stored->trust, stored->trust_len, &newer) != PP_TAKEN) {
		pp_say(a, PROPLET_WARNING, "the stored keys are not taken");
	}
	memcpy(a->signer, stored->signer, sizeof a->signer);
	if (a->trust_version > 0) {
		pp_documents_trusted_anew(a, now);
	}
	pp_releases_load(a, stored->releases_len, stored->held);
	for (unsigned i = 0; i < stored->upload_count; i++) {
		(void)pp_uploads_add(a, stored->uploads[i].digest, stored->uploads[i].size, true);
	}
	pp_autonomy_booted(a, stored, now);
	a->now = now;
	pp_runs_load(a, (struct pp_view){a->memory.desired, a->desired_len}, now);
	pp_times_load(a);
	pp_turn(a, now);
}

/* Say who we are and what we hold, and ask again for all that is open. */
void pp_announce(struct pp_agent *a, struct pp_now now)
{
	pp_publish_hello(a);
	status(a, true);
	pp_reporting_at_once(a, now);
	a->report.beats = 0;
	pp_downloads_reopen(a, now);
	pp_uploads_reopen(a, now);
}

void pp_agent_connected(struct pp_agent *a, int64_t conn, struct pp_now now)
{
	static const enum pp_topic heard[] = {
		PP_TOPIC_DESIRED,  PP_TOPIC_OP,    PP_TOPIC_BLOB_DATA,
		PP_TOPIC_BLOB_ACK, PP_TOPIC_TRUST, PP_TOPIC_MANAGER_STATUS, PP_TOPIC_RELEASES,
	};

	pp_subscribe(a, heard, sizeof heard / sizeof heard[0] - !pp_releases_wanted(a), false);
	a->conn = conn;
	a->connected = true;
	a->source_count = 0;
	pp_announce(a, now);
	pp_turn(a, now);
}

void pp_agent_disconnected(struct pp_agent *a, struct pp_now now)
{
	a->connected = a->manager.present = false;
	pp_turn(a, now);
}

void pp_agent_drain(struct pp_agent *a, struct pp_now now)
{
	if (a->drain_by < 0) {
		a->drain_by = now.mono + a->config.grace + DRAIN_MARGIN;
		pp_runs_drain(a);
	}
	pp_turn(a, now);
}

void pp_agent_tick(struct pp_agent *a, struct pp_now now)
{
	pp_turn(a, now);
}

void pp_agent_status(const struct pp_agent *a, bool online, int64_t conn, struct pp_out *out)
{
	pp_put_map(out, 6);
	pp_put_int_in(out, 0, 1);
	pp_put_word_in(out, PP_STATUS_ID, a->id);
	pp_put_int_in(out, PP_STATUS_STATE, online ? PP_STATUS_STATE_ONLINE : PP_STATUS_STATE_OFFLINE);
	pp_put_bytes_in(out, PP_STATUS_INST, a->inst, 16);
	pp_put_int_in(out, PP_STATUS_BOOT, a->boot);
	pp_put_int_in(out, PP_STATUS_CONN, conn);
}

/* -- answers of the shell ----------------------------------------------------------------------- */

void pp_agent_fetch_from(struct pp_agent *a, const uint8_t digest[32], uint64_t size, uint64_t have,
			 struct pp_now now)
{
	if (!pp_downloads_begin(a, digest, size, have, now)) {
		give_up(a, digest, pp_words_of("too many blobs are on their way"), now);
	}
	pp_turn(a, now);
}

void pp_agent_fetched(struct pp_agent *a, const uint8_t digest[32], const uint8_t *data, size_t len,
		      struct pp_now now)
{
	pp_downloads_forget(a, digest);
	if (data == NULL || !pp_documents_take(a, digest, data, len, now)) {
		pp_modules_fetched(a, digest);
	}
	pp_turn(a, now);
}

void pp_agent_fetch_failed(struct pp_agent *a, const uint8_t digest[32], const char *words,
			   struct pp_now now)
{
	give_up(a, digest, pp_words_of(words), now);
	pp_turn(a, now);
}

void pp_agent_prepared(struct pp_agent *a, const uint8_t uid[16], const uint8_t run[16],
		       const uint8_t digest[32], struct pp_now now)
{
	struct pp_run *const found = pp_runs_find(a, uid, run);

	if (found != NULL && found->has_asked && memcmp(found->asked, digest, 32) == 0) {
		found->prepared = true;
		pp_note_set(a, &found->note[PP_NOTE_UNFIT], pp_words_of(""));
	}
	pp_turn(a, now);
}

void pp_agent_unfit(struct pp_agent *a, const uint8_t uid[16], const uint8_t run[16],
		    const uint8_t digest[32], const char *words, struct pp_now now)
{
	struct pp_run *const found = pp_runs_find(a, uid, run);

	if (found != NULL && found->has_asked && memcmp(found->asked, digest, 32) == 0) {
		pp_note_set(a, &found->note[PP_NOTE_UNFIT], pp_words_of(words));
	}
	pp_turn(a, now);
}

void pp_agent_ended(struct pp_agent *a, const uint8_t uid[16], const uint8_t run[16],
		    const struct pp_outcome *outcome, struct pp_now now)
{
	struct pp_run *const found = pp_runs_find(a, uid, run);
	struct pp_run *const kept = pp_times_owner(a, uid, run);

	a->now = now;
	if (outcome->has_blob) {
		(void)pp_emit_digest(a, PP_DO_SAVE_UPLOAD, outcome->blob, outcome->blob_size);
		if (!pp_uploads_add(a, outcome->blob, outcome->blob_size, true)) {
			pp_say(a, PROPLET_ERROR, "too many results wait to be sent: one is not");
		}
	}
	if (kept != NULL) {
		pp_times_over(a, kept, outcome, now);
	} else if (found != NULL && pp_run_alive(found)) {
		pp_runs_ended(a, found, outcome, now);
	}
	pp_turn(a, now);
}

void pp_agent_upload_lost(struct pp_agent *a, const uint8_t digest[32], struct pp_now now)
{
	if (pp_uploads_forget(a, digest)) {
		(void)pp_emit_digest(a, PP_DO_DROP_UPLOAD, digest, 0);
	}
	pp_turn(a, now);
}

void pp_agent_untold(struct pp_agent *a, struct pp_now now)
{
	pp_reporting_again(a, now);
	pp_turn(a, now);
}

/* -- what others may ask ------------------------------------------------------------------------ */

bool pp_agent_uses(const struct pp_agent *a, const uint8_t digest[32])
{
	for (unsigned i = 0; i < a->upload_count; i++) {
		if (memcmp(a->uploads[i].digest, digest, 32) == 0) {
			return true;
		}
	}
	return pp_modules_need(a, digest) || pp_documents_await(a, digest);
}

const struct pp_run *pp_agent_find(const struct pp_agent *a, const uint8_t uid[16],
				   const uint8_t run[16])
{
	return pp_runs_find(a, uid, run);
}

struct proplet_text pp_agent_note(const struct pp_agent *a, const struct pp_run *run,
				  enum pp_note_of which)
{
	return pp_note_get(a, run->note[which]);
}
