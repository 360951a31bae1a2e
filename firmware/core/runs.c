/*
 * Which guests run: turns what the list says into fetches, starts and stops. The twin of
 * proplet/runs.py, with the same three promises: a once-run is started at most once, however often
 * it is listed and whatever was cut short; a replacement is fetched and checked before the old guest
 * is stopped; two versions of one object never run side by side unless asked for.
 */
#include "inside.h"
#include "lives.h"

/* -- what is listed ----------------------------------------------------------------------------- */

bool pp_run_alive(const struct pp_run *run)
{
	return !run->gone && (run->phase == PP_PHASE_RUNNING || run->phase == PP_PHASE_STOPPING);
}

struct pp_run *pp_runs_find(const struct pp_agent *a, const uint8_t *uid, const uint8_t *id)
{
	for (size_t i = 0; i < a->run_count; i++) {
		struct pp_run *const run = &a->memory.runs[i];

		if (!run->gone && memcmp(run->uid, uid, 16) == 0 && memcmp(run->run, id, 16) == 0) {
			return run;
		}
	}
	return NULL;
}

static void key_of(struct pp_view entry, const uint8_t **uid, const uint8_t **id)
{
	size_t len;

	*uid = pp_bytes_in(entry, PP_ENTRY_UID, &len);
	*id = pp_bytes_in(entry, PP_ENTRY_RUN, &len);
}

static void listed_as(struct pp_run *run, struct pp_view entry)
{
	pp_plan_read(&run->plan, entry);
	run->entry = entry.at;
	run->entry_len = entry.len;
	run->wanted = true;
}

/* A record nobody has started yet, as the plan says. */
static void fresh_record(struct pp_agent *a, struct pp_run *run, struct pp_view entry)
{
	memcpy(run->digest, run->plan.digest, 32);
	run->mode = run->plan.mode;
	run->starts = run->failures = 0;
	run->started = run->ended = 0;
	run->has_exit = run->has_result = run->has_blob = false;
	run->spent = 0;
	pp_note_set(a, &run->note[PP_NOTE_CAUSE], pp_text_in(entry, PP_ENTRY_CAUSE));
	pp_note_set(a, &run->note[PP_NOTE_RESULT], pp_words_of(""));
	pp_note_set(a, &run->note[PP_NOTE_ERROR], pp_words_of(""));
}

struct pp_run *pp_run_new(struct pp_agent *a, struct pp_view entry, uint16_t slot)
{
	struct pp_run *const run = &a->memory.runs[a->run_count];
	const uint8_t *uid, *id;

	memset(run, 0, sizeof *run);
	a->run_count++;
	key_of(entry, &uid, &id);
	memcpy(run->uid, uid, 16);
	memcpy(run->run, id, 16);
	run->slot = slot;
	listed_as(run, entry);
	fresh_record(a, run, entry);
	run->state = PP_PENDING;
	return run;
}

/* A once-run whose record nobody can read may have run: it is not tried again. */
static void unreadable(struct pp_agent *a, struct pp_run *run)
{
	run->state = PP_INTERRUPTED;
	run->starts = 1;
	run->phase = PP_PHASE_ENDED;
	pp_note_set(a, &run->note[PP_NOTE_ERROR],
		    pp_words_of("its record could not be read: it may have run"));
}

static void arrive(struct pp_agent *a, struct pp_view entry)
{
	struct pp_stone *const stones = a->memory.stones;
	const uint8_t *uid, *id;
	struct pp_record record;
	struct pp_run *run;
	uint16_t slot;
	size_t i;

	key_of(entry, &uid, &id);
	for (i = 0; i < a->stone_count; i++) {
		if (memcmp(stones[i].uid, uid, 16) == 0 && memcmp(stones[i].run, id, 16) == 0) {
			break;
		}
	}
	if (i == a->stone_count) {
		(void)pp_run_new(a, entry, pp_run_slot(a));
		return;
	}
	slot = stones[i].slot;
	a->stone_count--;
	memmove(&stones[i], &stones[i + 1], (a->stone_count - i) * sizeof *stones);
	run = pp_run_new(a, entry, slot);
	if (pp_run_load(a, slot, &record)) {
		pp_run_take(a, run, &record);
		run->phase = PP_PHASE_ENDED;
	} else {
		unreadable(a, run);
	}
	run->ready = run->state == PP_SUCCEEDED;
	(void)pp_run_save(a, run);
}

static void change(struct pp_agent *a, struct pp_run *run, struct pp_view entry)
{
	const bool never_ran = run->starts == 0;

	listed_as(run, entry);
	pp_note_set(a, &run->note[PP_NOTE_TROUBLE], pp_words_of(""));
	if (never_ran && run->mode != run->plan.mode) {
		fresh_record(a, run, entry); /* its state stays */
	}
	if (run->phase == PP_PHASE_ENDED &&
	    (pp_lasts(run) || never_ran)) {
		run->failures = 0;
		pp_note_set(a, &run->note[PP_NOTE_ERROR], pp_words_of(""));
		run->phase = PP_PHASE_WAITING;
	} else if (run->phase == PP_PHASE_BACK_OFF) {
		run->failures = 0;
		run->due = 0;
	}
}

/* Towards gone: a live guest is stopped first, unless its successor still needs it. */
static void retire(struct pp_agent *a, struct pp_run *run)
{
	const struct pp_effect effect = {
		.what = PP_DO_FORGET_RUN, .uid = run->uid, .run_id = run->run};

	if (run->phase == PP_PHASE_STOPPING) {
		return;
	}
	if (run->phase == PP_PHASE_RUNNING) {
		if (a->draining || !pp_awaited(a, run)) {
			pp_run_stop(a, run, PP_WHY_REMOVED, 0);
		}
		if (pp_run_alive(run)) {
			return;
		}
	}
	run->gone = true;
	a->changed = true;
	pp_times_leave(a, run);
	pp_run_bury(a, run);
	(void)pp_emit(a, &effect);
}

static void clear_notes(struct pp_agent *a, struct pp_run *run)
{
	for (unsigned i = 0; i < PP_NOTES; i++) {
		pp_note_set(a, &run->note[i], pp_words_of(""));
	}
}

/* Those that are gone leave their places. */
static void compact(struct pp_agent *a)
{
	struct pp_run *const runs = a->memory.runs;

	for (size_t i = a->run_count; i-- > 0;) {
		if (runs[i].gone) {
			clear_notes(a, &runs[i]);
			a->run_count--;
			memmove(&runs[i], &runs[i + 1], (a->run_count - i) * sizeof *runs);
		}
	}
}

static bool listed(struct pp_view list, const struct pp_run *run)
{
	struct pp_items items = pp_items(list);
	struct pp_view entry;
	const uint8_t *uid, *id;

	while (pp_next(&items, &entry)) {
		key_of(entry, &uid, &id);
		if (memcmp(uid, run->uid, 16) == 0 && memcmp(id, run->run, 16) == 0) {
			return true;
		}
	}
	return false;
}

/* Runs that are not listed any more but may not go yet: a guest must be stopped first. */
bool pp_runs_have_room(const struct pp_agent *a, struct pp_view list)
{
	size_t lasting = 0;

	for (size_t i = 0; i < a->run_count; i++) {
		const struct pp_run *const run = &a->memory.runs[i];

		lasting += pp_run_alive(run) && !listed(list, run);
	}
	return pp_count(list) + lasting <= a->memory.run_count;
}

/* Where the places are short, those that may go at once go before the others come. */
static void make_room(struct pp_agent *a, struct pp_view list)
{
	struct pp_items items = pp_items(list);
	size_t arriving = 0;
	struct pp_view entry;
	const uint8_t *uid, *id;

	while (pp_next(&items, &entry)) {
		key_of(entry, &uid, &id);
		arriving += pp_runs_find(a, uid, id) == NULL;
	}
	if (arriving <= a->memory.run_count - a->run_count) {
		return;
	}
	for (size_t i = 0; i < a->run_count; i++) {
		if (!a->memory.runs[i].wanted && !pp_run_alive(&a->memory.runs[i])) {
			retire(a, &a->memory.runs[i]);
		}
	}
	compact(a);
}

void pp_runs_want(struct pp_agent *a, struct pp_view list)
{
	struct pp_items items = pp_items(list);
	struct pp_view entry;
	const uint8_t *uid, *id;
	size_t len;

	for (size_t i = 0; i < a->run_count; i++) {
		a->memory.runs[i].wanted = listed(list, &a->memory.runs[i]);
		a->memory.runs[i].entry = NULL;
	}
	make_room(a, list);
	while (pp_next(&items, &entry)) {
		struct pp_run *run;

		key_of(entry, &uid, &id);
		run = pp_runs_find(a, uid, id);
		if (run == NULL) {
			arrive(a, entry);
		} else if (memcmp(run->plan.digest,
				  pp_bytes_in(entry, PP_ENTRY_DIGEST, &len), 32) == 0) {
			listed_as(run, entry); /* only how it takes over may differ */
		} else {
			change(a, run, entry);
		}
	}
	pp_modules_retry(a);
	a->changed = true;
}

/* -- towards what is listed --------------------------------------------------------------------- */

void pp_run_trouble(struct pp_agent *a, struct pp_run *run, struct proplet_text words)
{
	if (!pp_note_is(a, run->note[PP_NOTE_TROUBLE], words)) {
		pp_note_set(a, &run->note[PP_NOTE_TROUBLE], words);
		a->changed = true;
	}
}

static void show(struct pp_agent *a, struct pp_run *run, enum pp_phase phase)
{
	if (run->phase != PP_PHASE_RUNNING && run->phase != phase) {
		run->phase = (uint8_t)phase;
		a->changed = true;
	}
}

static bool unfit_or_refused(struct pp_agent *a, struct pp_run *run)
{
	const bool judged = run->has_asked && memcmp(run->asked, run->plan.digest, 32) == 0;
	struct pp_words why;

	if (!pp_refusal(a, run, &why)) {
		if (!judged || run->note[PP_NOTE_UNFIT].len == 0) {
			return false;
		}
		pp_words_text(&why, pp_note_get(a, run->note[PP_NOTE_UNFIT]));
	}
	if (run->phase == PP_PHASE_RUNNING) {
		pp_run_trouble(a, run, pp_words_all(&why));
		return true;
	}
	run->state = PP_REFUSED;
	memcpy(run->digest, run->plan.digest, 32);
	pp_note_set(a, &run->note[PP_NOTE_ERROR], pp_words_all(&why));
	pp_run_end(a, run);
	return true;
}

/* Before anything of it is fetched or checked: there may be a word of the manager, or a release. */
static PP_APART bool not_now(struct pp_agent *a, struct pp_run *run, struct pp_now now)
{
	struct pp_words why;

	if (!pp_alone(a, &run->plan, &why) &&
	    !pp_releases_forbid(a, run->plan.module, now, &why)) {
		return false;
	}
	pp_run_trouble(a, run, pp_words_all(&why));
	show(a, run, PP_PHASE_WAITING);
	return true;
}

bool pp_run_obtain(struct pp_agent *a, struct pp_run *run, struct pp_now now)
{
	struct pp_effect effect = {.what = PP_DO_PREPARE, .run = run};
	struct pp_blob *missing;
	bool present;

	if (unfit_or_refused(a, run) || not_now(a, run, now) ||
	    (pp_kills_first(run) && pp_has_older(a, run))) {
		return false;
	}
	missing = pp_modules_want(a, &run->plan, now, &present);
	if (!present) {
		pp_run_trouble(a, run,
			missing == NULL ? pp_words_of("") : pp_note_get(a, missing->failed));
		show(a, run, PP_PHASE_FETCHING);
		return false;
	}
	if (pp_could_start(run)) {
		pp_run_trouble(a, run, pp_words_of(""));
		return true;
	}
	if (!run->has_asked || memcmp(run->asked, run->plan.digest, 32) != 0) {
		run->has_asked = true;
		run->prepared = false;
		memcpy(run->asked, run->plan.digest, 32);
		pp_note_set(a, &run->note[PP_NOTE_UNFIT], pp_words_of(""));
		(void)pp_emit(a, &effect);
	}
	show(a, run, PP_PHASE_PREPARING);
	return false;
}

/* The record of its start, before anything of it is said or done. */
static PP_APART int save_start(struct pp_agent *a, const struct pp_run *run, struct pp_now now)
{
	struct pp_record record = pp_run_record(a, run);

	record.digest = run->plan.digest;
	record.state = PP_RUNNING;
	record.has_exit = record.has_result = record.has_blob = false;
	record.error = record.result = (struct proplet_text){"", 0};
	record.starts++;
	record.started = now.wall;
	record.ended = 0;
	return pp_run_save_as(a, run->slot, &record);
}

static void start(struct pp_agent *a, struct pp_run *run, struct pp_now now)
{
	struct pp_effect effect = {.what = PP_DO_START, .run = run, .run_id = run->run};

	if (run->mode == PP_ENTRY_MODE_ONCE && run->starts > 0) {
		return; /* never twice, whatever led here */
	}
	if (run->mode == PP_ENTRY_MODE_TIMED && !pp_times_room(a, run)) {
		pp_run_trouble(a, run, pp_words_of("as many schedules as fit are kept already"));
		return;
	}
	if (save_start(a, run, now) != PROPLET_OK) {
		pp_run_trouble(a, run, pp_words_of("its start could not be stored"));
		return;
	}
	memcpy(run->digest, run->plan.digest, 32);
	run->state = PP_RUNNING;
	run->has_exit = run->has_result = run->has_blob = false;
	pp_note_set(a, &run->note[PP_NOTE_RESULT], pp_words_of(""));
	pp_note_set(a, &run->note[PP_NOTE_ERROR], pp_words_of(""));
	run->starts++;
	run->started = now.wall;
	run->ended = 0;
	run->began = now.mono;
	run->why = PP_WHY_NONE;
	run->memory = run->plan.memory;
	run->ready = pp_lasts(run) && run->plan.ready_after == 0;
	run->phase = PP_PHASE_RUNNING;
	a->changed = true;
	pp_modules_started(a, &run->plan);
	if (run->mode == PP_ENTRY_MODE_TIMED) {
		pp_times_begin(a, run, now);
		return;
	}
	effect.restarts = run->starts - 1;
	(void)pp_emit(a, &effect);
}

static void advance_running(struct pp_agent *a, struct pp_run *run, struct pp_now now)
{
	struct pp_words why;

	if (pp_lasts(run) && !run->ready &&
	    now.mono - run->began >= (int64_t)run->plan.ready_after) {
		run->ready = true;
		a->changed = true;
	}
	if (run->mode == PP_ENTRY_MODE_TIMED) {
		pp_times_keep(a, run, now);
		return;
	}
	if (run->mode == PP_ENTRY_MODE_DAEMON && pp_alone(a, &run->plan, &why)) {
		run->spent = now.wall;
		(void)pp_run_save(a, run);
		pp_say(a, PROPLET_WARNING, why.at);
		pp_run_stop(a, run, PP_WHY_ALONE, 0);
		return;
	}
	if (pp_stale(run) && !a->draining &&
	    ((pp_kills_first(run) && !pp_refusal(a, run, &why) &&
	      !pp_releases_forbid(a, run->plan.module, now, &why)) ||
	     pp_run_obtain(a, run, now))) {
		pp_run_stop(a, run, PP_WHY_REPLACED, 0);
	}
}

static void advance(struct pp_agent *a, struct pp_run *run, struct pp_now now)
{
	switch ((enum pp_phase)run->phase) {
	case PP_PHASE_ENDED:
	case PP_PHASE_STOPPING:
		return;
	case PP_PHASE_RUNNING:
		advance_running(a, run, now);
		return;
	case PP_PHASE_BACK_OFF:
		if (now.mono < run->due) {
			return;
		}
		break;
	case PP_PHASE_WAITING:
	case PP_PHASE_FETCHING:
	case PP_PHASE_PREPARING:
		break;
	}
	if (pp_run_obtain(a, run, now) && !a->draining && pp_fits(a, run)) {
		start(a, run, now);
	}
}

static bool freed_before(const struct pp_agent *a, size_t runs, const struct pp_run *newer,
			 const uint8_t *module)
{
	for (size_t i = 0; i < runs; i++) {
		const struct pp_run *const run = &a->memory.runs[i];

		if (run->gone && memcmp(run->uid, newer->uid, 16) == 0 &&
		    memcmp(run->plan.module, module, 32) == 0) {
			return true;
		}
	}
	return false;
}

/* One whose predecessor had to go first: its bytes are freed, then this one goes on. */
static void follow(struct pp_agent *a, struct pp_run *newer, struct pp_now now)
{
	bool before = false;

	for (size_t i = 0; i < a->run_count; i++) {
		const struct pp_run *const run = &a->memory.runs[i];

		if (!run->gone || memcmp(run->uid, newer->uid, 16) != 0) {
			continue;
		}
		before = true;
		if (!pp_modules_need(a, run->plan.module) &&
		    !freed_before(a, i, newer, run->plan.module)) {
			pp_emit_digest(a, PP_DO_FREE_BLOB, run->plan.module, 0);
		}
	}
	if (before) {
		advance(a, newer, now);
	}
}

void pp_runs_settle(struct pp_agent *a, struct pp_now now)
{
	struct pp_run *const runs = a->memory.runs;

	a->now = now;
	for (size_t i = 0; i < a->run_count; i++) {
		if (runs[i].wanted) {
			advance(a, &runs[i], now);
		}
	}
	for (size_t i = 0; i < a->run_count; i++) {
		if (!runs[i].wanted) {
			retire(a, &runs[i]);
		}
	}
	pp_modules_settle(a);
	for (size_t i = 0; i < a->run_count; i++) {
		if (runs[i].wanted && pp_kills_first(&runs[i])) {
			follow(a, &runs[i], now);
		}
	}
	compact(a);
}
