/*
 * Runs in storage: a slot and a record each, tombstones of finished tasks that may not start again,
 * and what a boot makes of what it finds. The other half of runs.c.
 */
#include "inside.h"
#include "lives.h"

static bool slot_taken(const struct pp_agent *a, uint16_t slot)
{
	for (size_t i = 0; i < a->run_count; i++) {
		if (a->memory.runs[i].slot == slot) {
			return true;
		}
	}
	for (size_t i = 0; i < a->stone_count; i++) {
		if (a->memory.stones[i].slot == slot) {
			return true;
		}
	}
	return false;
}

uint16_t pp_run_slot(const struct pp_agent *a)
{
	uint16_t slot = 0;

	while (slot_taken(a, slot)) {
		slot++;
	}
	return slot;
}

void pp_run_take(struct pp_agent *a, struct pp_run *run, const struct pp_record *record)
{
	memcpy(run->digest, record->digest, 32);
	run->mode = record->mode;
	run->state = record->state;
	run->has_exit = record->has_exit;
	run->exit = record->exit;
	run->has_result = record->has_result;
	run->has_blob = record->has_blob;
	if (record->has_blob) {
		memcpy(run->blob, record->blob, 32);
	}
	run->blob_size = record->blob_size;
	run->starts = record->starts;
	run->failures = record->failures;
	run->started = record->started;
	run->ended = record->ended;
	run->spent = record->spent;
	pp_note_set(a, &run->note[PP_NOTE_CAUSE], record->cause);
	pp_note_set(a, &run->note[PP_NOTE_RESULT], record->result);
	pp_note_set(a, &run->note[PP_NOTE_ERROR], record->error);
}

struct pp_record pp_run_record(const struct pp_agent *a, const struct pp_run *run)
{
	const struct pp_record record = {
		.uid = run->uid,
		.run = run->run,
		.digest = run->digest,
		.cause = pp_note_get(a, run->note[PP_NOTE_CAUSE]),
		.result = pp_note_get(a, run->note[PP_NOTE_RESULT]),
		.error = pp_note_get(a, run->note[PP_NOTE_ERROR]),
		.mode = run->mode,
		.state = run->state,
		.has_exit = run->has_exit,
		.has_result = run->has_result,
		.has_blob = run->has_blob,
		.exit = run->exit,
		.blob = run->blob,
		.blob_size = run->blob_size,
		.starts = run->starts,
		.failures = run->failures,
		.started = run->started,
		.ended = run->ended,
		.spent = run->spent,
	};

	return record;
}

int pp_run_save_as(struct pp_agent *a, uint16_t slot, const struct pp_record *record)
{
	const struct pp_effect effect = {.what = PP_DO_SAVE_RUN, .slot = slot, .record = record};

	return pp_emit(a, &effect);
}

int pp_run_save(struct pp_agent *a, const struct pp_run *run)
{
	const struct pp_record record = pp_run_record(a, run);

	return pp_run_save_as(a, run->slot, &record);
}

static void drop_record(struct pp_agent *a, uint16_t slot, const uint8_t *uid, const uint8_t *id)
{
	const struct pp_effect effect = {
		.what = PP_DO_DROP_RUN, .slot = slot, .uid = uid, .run_id = id};

	(void)pp_emit(a, &effect);
}

/* A record that is not listed any more: kept if it is of a once-run that started. */
static void bury(struct pp_agent *a, const struct pp_record *record, uint16_t slot)
{
	struct pp_stone *const stones = a->memory.stones;
	struct pp_record stone = *record;
	struct pp_stone oldest;
	bool full;

	if (record->mode != PP_ENTRY_MODE_ONCE || record->starts == 0) {
		drop_record(a, slot, record->uid, record->run);
		return;
	}
	full = a->stone_count == a->memory.stone_count;
	if (full) {
		oldest = stones[0];
		a->stone_count--;
		memmove(&stones[0], &stones[1], a->stone_count * sizeof *stones);
	}
	stone.tombstone = true;
	stone.order = ++a->stone_order;
	memcpy(stones[a->stone_count].uid, record->uid, 16);
	memcpy(stones[a->stone_count].run, record->run, 16);
	stones[a->stone_count].slot = slot;
	stones[a->stone_count].order = stone.order;
	a->stone_count++;
	(void)pp_run_save_as(a, slot, &stone);
	if (full) {
		drop_record(a, oldest.slot, oldest.uid, oldest.run);
	}
}

void pp_run_bury(struct pp_agent *a, struct pp_run *run)
{
	const struct pp_record record = pp_run_record(a, run);

	bury(a, &record, run->slot);
	run->slot = UINT16_MAX; /* the stone's now, or nobody's */
}

#define RECORD 1024 /* bytes of the longest record: two notes and what stands around them */

bool pp_run_load(struct pp_agent *a, uint16_t slot, struct pp_record *record)
{
	const size_t cap = a->memory.scratch_size < RECORD ? a->memory.scratch_size : RECORD;
	uint8_t *const at = a->memory.scratch + a->memory.scratch_size - cap;
	size_t len;

	return a->shell.load_run(a->shell.ctx, slot, at, cap, &len) == PROPLET_OK &&
	       pp_record_read(at, len, record);
}

/* -- a boot ------------------------------------------------------------------------------------- */

static void resume(struct pp_agent *a, struct pp_run *run, const struct pp_record *record)
{
	pp_run_take(a, run, record);
	if (run->mode == PP_ENTRY_MODE_ONCE && run->state == PP_RUNNING) {
		run->state = PP_INTERRUPTED;
	}
	if (run->state >= PP_SUCCEEDED && (run->mode == PP_ENTRY_MODE_ONCE || !pp_stale(run))) {
		run->phase = PP_PHASE_ENDED;
		run->ready = run->state == PP_SUCCEEDED;
	}
}

/* Guests of the last boot are dead: a once-run that was running is Interrupted. */
static void interrupt(struct pp_agent *a, uint16_t slot, struct pp_record *record, struct pp_now now)
{
	if (record->mode == PP_ENTRY_MODE_ONCE && record->state == PP_RUNNING) {
		record->state = PP_INTERRUPTED;
		record->error = pp_words_of("cut short: the proplet went down while it ran");
		record->ended = now.wall;
		(void)pp_run_save_as(a, slot, record);
	}
}

static bool buried_later(const struct pp_record *one, const struct pp_record *other)
{
	return one->tombstone != other->tombstone ? other->tombstone : one->order > other->order;
}

/* The slot of a record that no entry names and nobody buried yet, the oldest tombstone first;
 * `slots` where there is none. */
static uint16_t unburied(struct pp_agent *a, uint16_t slots)
{
	struct pp_record record, least = {.order = 0};
	uint16_t at = slots;

	for (uint16_t slot = 0; slot < slots; slot++) {
		if (!slot_taken(a, slot) && pp_run_load(a, slot, &record) &&
		    (at == slots || buried_later(&least, &record))) {
			least = record; /* its texts are not looked at */
			at = slot;
		}
	}
	return at;
}

static void bury_the_rest(struct pp_agent *a, uint16_t slots)
{
	struct pp_record record;

	for (uint16_t rounds = 0; rounds < slots; rounds++) {
		const uint16_t slot = unburied(a, slots);

		if (slot == slots || !pp_run_load(a, slot, &record)) {
			return;
		}
		bury(a, &record, slot);
	}
}

static void load_slots(struct pp_agent *a, uint16_t slots, struct pp_now now)
{
	struct pp_record record;

	for (uint16_t slot = 0; slot < slots; slot++) {
		struct pp_run *run = NULL;

		if (!pp_run_load(a, slot, &record)) {
			continue;
		}
		a->stone_order = record.order > a->stone_order ? record.order : a->stone_order;
		interrupt(a, slot, &record, now);
		run = pp_runs_find(a, record.uid, record.run);
		if (run != NULL && run->slot == UINT16_MAX) {
			run->slot = slot;
			resume(a, run, &record);
		}
	}
}

void pp_runs_load(struct pp_agent *a, struct pp_view list, struct pp_now now)
{
	const uint16_t slots = (uint16_t)(a->memory.run_count + a->memory.stone_count);
	struct pp_items items = pp_items(list);
	struct pp_view entry;

	while (a->run_count < a->memory.run_count && pp_next(&items, &entry)) {
		(void)pp_run_new(a, entry, UINT16_MAX);
	}
	load_slots(a, slots, now);
	bury_the_rest(a, slots);
	for (size_t i = 0; i < a->run_count; i++) {
		if (a->memory.runs[i].slot == UINT16_MAX) {
			a->memory.runs[i].slot = pp_run_slot(a);
		}
	}
	a->changed = true;
}
