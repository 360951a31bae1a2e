/*
 * One run: how it ends, is stopped, cancelled, restarted and told. The twin of proplet/endings.py and
 * the operations in runs.py.
 */
#include "lives.h"

#define STABLE 60000 /* ms a daemon must have run for its earlier failures to be forgotten */

void pp_run_end(struct pp_agent *a, struct pp_run *run)
{
	run->ready = run->state == PP_SUCCEEDED;
	pp_note_set(a, &run->note[PP_NOTE_TROUBLE], pp_words_of(""));
	run->phase = PP_PHASE_ENDED;
	a->changed = true;
	(void)pp_run_save(a, run);
}

void pp_run_stop(struct pp_agent *a, struct pp_run *run, enum pp_why why, int64_t grace)
{
	struct pp_effect effect = {
		.what = PP_DO_STOP, .run = run, .run_id = run->run, .grace = grace};

	if (run->phase == PP_PHASE_STOPPING && grace == 0 && why != PP_WHY_CANCELLED) {
		return;
	}
	run->why = (uint8_t)why;
	run->ready = false;
	run->phase = PP_PHASE_STOPPING;
	a->changed = true;
	if (run->mode == PP_ENTRY_MODE_TIMED) {
		pp_times_stop(a, run, &effect);
		return;
	}
	(void)pp_emit(a, &effect);
}

/* -- ends --------------------------------------------------------------------------------------- */

static void fail(struct pp_agent *a, struct pp_run *run, enum pp_state state, const char *words)
{
	run->state = (uint8_t)state;
	pp_note_set(a, &run->note[PP_NOTE_ERROR], pp_words_of(words));
}

static void once_ended(struct pp_agent *a, struct pp_run *run, enum pp_why why, bool ok)
{
	if (ok) {
		fail(a, run, PP_SUCCEEDED, "");
	} else if (why == PP_WHY_CANCELLED) {
		fail(a, run, PP_FAILED, "cancelled by an operator");
	} else if (why == PP_WHY_NONE) {
		run->state = PP_FAILED;
	} else {
		fail(a, run, PP_INTERRUPTED,
		     why == PP_WHY_DRAINED ? "cut short: the proplet was stopped"
					   : "cut short: no longer listed");
	}
	pp_run_end(a, run);
}

static void gave_up(struct pp_agent *a, struct pp_run *run)
{
	const struct proplet_text last = pp_note_get(a, run->note[PP_NOTE_ERROR]);
	struct pp_words why;

	pp_words_init(&why);
	pp_words_add(&why, "gave up after ");
	pp_words_number(&why, run->plan.max_restarts);
	pp_words_add(&why, " restarts; the last time: ");
	pp_words_text(&why, last.len > 0 ? last : pp_words_of("it returned"));
	run->state = PP_FAILED;
	pp_note_set(a, &run->note[PP_NOTE_ERROR], pp_words_all(&why));
	pp_run_end(a, run);
}

/* Ms until it is started again after so many failures in a row: doubling, half of it chance. */
int64_t pp_run_delay(struct pp_agent *a, const struct pp_run *run, uint32_t failures)
{
	const unsigned times = failures > 41 ? 40 : failures - 1;
	uint64_t full = run->plan.backoff_base;

	for (unsigned i = 0; i < times && full < run->plan.backoff_cap; i++) {
		full *= 2;
	}
	full = full < run->plan.backoff_cap ? full : run->plan.backoff_cap;
	return (int64_t)(full / 2) +
	       a->shell.chance(a->shell.ctx, 0, (int64_t)(full - full / 2));
}

static void daemon_ended(struct pp_agent *a, struct pp_run *run, enum pp_why why, bool ok,
			 struct pp_now now)
{
	const int64_t ran = now.mono - run->began;
	const int64_t stable = pp_max((int64_t)run->plan.ready_after, STABLE);
	uint32_t failures;

	if (why == PP_WHY_CANCELLED) {
		fail(a, run, PP_FAILED, "cancelled by an operator");
		pp_run_end(a, run);
		return;
	}
	if (why != PP_WHY_NONE) {
		fail(a, run, PP_PENDING, "");
		run->failures = 0;
		run->phase = PP_PHASE_WAITING;
		return;
	}
	failures = (ran >= stable ? 0 : run->failures) + 1;
	if (run->plan.restart != PP_ENTRY_RESTART_ALWAYS &&
	    (run->plan.restart != PP_ENTRY_RESTART_ON_FAILURE || ok)) {
		run->state = ok ? PP_SUCCEEDED : PP_FAILED;
		pp_run_end(a, run);
	} else if (run->plan.has_max_restarts && failures > run->plan.max_restarts) {
		gave_up(a, run);
	} else {
		run->state = PP_BACK_OFF;
		run->failures = failures;
		run->due = now.mono + pp_run_delay(a, run, failures);
		run->phase = PP_PHASE_BACK_OFF;
		(void)pp_run_save(a, run);
	}
}

void pp_runs_ended(struct pp_agent *a, struct pp_run *run, const struct pp_outcome *outcome,
		   struct pp_now now)
{
	const enum pp_why why = (enum pp_why)run->why;

	a->changed = true;
	run->has_exit = outcome->has_exit;
	run->exit = outcome->exit;
	run->has_result = outcome->has_result;
	pp_note_set(a, &run->note[PP_NOTE_RESULT],
		    outcome->has_result ? outcome->result : pp_words_of(""));
	run->has_blob = outcome->has_blob;
	memcpy(run->blob, outcome->blob, 32);
	run->blob_size = outcome->blob_size;
	pp_note_set(a, &run->note[PP_NOTE_ERROR], outcome->ok ? pp_words_of("") : outcome->error);
	run->ended = now.wall;
	run->why = PP_WHY_NONE;
	run->ready = false;
	if (pp_lasts(run)) {
		daemon_ended(a, run, why, outcome->ok, now);
	} else {
		once_ended(a, run, why, outcome->ok);
	}
}

/* -- operations --------------------------------------------------------------------------------- */

const char *pp_runs_cancel(struct pp_agent *a, const uint8_t *uid, const uint8_t *id,
			   struct pp_words *words)
{
	static const char *const ends[] = {"Succeeded", "Failed", "Interrupted", "Refused"};
	struct pp_run *const run = pp_runs_find(a, uid, id);

	if (run == NULL) {
		return "no such run";
	}
	if (run->phase == PP_PHASE_ENDED) {
		pp_words_init(words);
		pp_words_add(words, "already ");
		pp_words_add(words, ends[run->state >= PP_SUCCEEDED ? run->state - PP_SUCCEEDED : 1]);
		return words->at;
	}
	for (size_t i = 0; i < a->run_count; i++) {
		struct pp_run *const one = &a->memory.runs[i];

		if (pp_is_older(one, run) && one->phase == PP_PHASE_RUNNING) {
			pp_run_stop(a, one, PP_WHY_REMOVED, 0); /* it would go on for this one */
		}
	}
	if (pp_run_alive(run)) {
		pp_run_stop(a, run, PP_WHY_CANCELLED, 0);
	} else {
		fail(a, run, PP_FAILED, "cancelled by an operator");
		pp_run_end(a, run);
	}
	return NULL;
}

const char *pp_runs_restart(struct pp_agent *a, const uint8_t *uid, const uint8_t *id)
{
	struct pp_run *const run = pp_runs_find(a, uid, id);

	if (run == NULL || !run->wanted) {
		return "no such run";
	}
	if (!pp_lasts(run)) {
		return "a task's run is never started again; give it a new runKey";
	}
	run->failures = 0;
	if (pp_run_alive(run)) {
		pp_run_stop(a, run, PP_WHY_RESTARTED, 0);
	} else {
		run->due = 0;
		if (run->phase == PP_PHASE_ENDED) {
			run->phase = PP_PHASE_WAITING;
		}
	}
	a->changed = true;
	return NULL;
}

void pp_runs_drain(struct pp_agent *a)
{
	a->draining = true;
	for (size_t i = 0; i < a->run_count; i++) {
		struct pp_run *const run = &a->memory.runs[i];

		if (!run->gone && run->phase == PP_PHASE_RUNNING) {
			pp_run_stop(a, run, PP_WHY_DRAINED,
				    run->mode == PP_ENTRY_MODE_DAEMON ? 0 : a->config.grace);
		}
	}
}

/* -- what is told ------------------------------------------------------------------------------- */

bool pp_runs_idle(const struct pp_agent *a)
{
	for (size_t i = 0; i < a->run_count; i++) {
		if (pp_run_alive(&a->memory.runs[i])) {
			return false;
		}
	}
	return true;
}

bool pp_runs_moving(const struct pp_agent *a)
{
	for (size_t i = 0; i < a->run_count; i++) {
		const uint8_t phase = a->memory.runs[i].phase;

		if (phase == PP_PHASE_FETCHING || phase == PP_PHASE_PREPARING ||
		    phase == PP_PHASE_STOPPING) {
			return true;
		}
	}
	return false;
}

int64_t pp_runs_due(const struct pp_agent *a)
{
	int64_t due = pp_modules_due(a);

	for (size_t i = 0; i < a->run_count; i++) {
		const struct pp_run *const run = &a->memory.runs[i];

		if (run->mode == PP_ENTRY_MODE_TIMED) {
			due = pp_min(due, pp_times_due(a, run));
		}
		if (run->phase == PP_PHASE_BACK_OFF) {
			due = pp_min(due, run->due);
		} else if (run->phase == PP_PHASE_RUNNING && pp_lasts(run) &&
			   !run->ready) {
			due = pp_min(due, run->began + (int64_t)run->plan.ready_after);
		}
	}
	return due;
}

static int by_name(const struct pp_run *one, const struct pp_run *other)
{
	const int uid = memcmp(one->uid, other->uid, 16);

	return uid != 0 ? uid : memcmp(one->run, other->run, 16);
}

const struct pp_run *pp_runs_after(const struct pp_agent *a, const struct pp_run *last)
{
	const struct pp_run *found = NULL;

	for (size_t i = 0; i < a->run_count; i++) {
		const struct pp_run *const run = &a->memory.runs[i];

		if (!run->gone && (last == NULL || by_name(run, last) > 0) &&
		    (found == NULL || by_name(run, found) < 0)) {
			found = run;
		}
	}
	return found;
}

uint8_t pp_run_state(const struct pp_run *run)
{
	static const uint8_t told[] = {
		[PP_PHASE_WAITING] = PP_PENDING,   [PP_PHASE_FETCHING] = PP_FETCHING,
		[PP_PHASE_PREPARING] = PP_PENDING, [PP_PHASE_RUNNING] = PP_RUNNING,
		[PP_PHASE_STOPPING] = PP_STOPPING, [PP_PHASE_BACK_OFF] = PP_BACK_OFF,
	};

	return run->phase == PP_PHASE_ENDED ? run->state : told[run->phase];
}

static void number(struct pp_out *out, unsigned field, int64_t value, size_t *count)
{
	if (value != 0) {
		pp_put_int_in(out, field, value);
		++*count;
	}
}

void pp_run_report(const struct pp_agent *a, const struct pp_run *run, struct pp_out *out)
{
	const size_t mark = pp_put_open(out);
	const struct proplet_text result = pp_note_get(a, run->note[PP_NOTE_RESULT]);
	struct proplet_text error = pp_note_get(a, run->note[PP_NOTE_ERROR]);
	size_t count = 5;

	error = error.len > 0 ? error : pp_note_get(a, run->note[PP_NOTE_TROUBLE]);
	pp_put_bytes_in(out, PP_RUN_REPORT_UID, run->uid, 16);
	pp_put_bytes_in(out, PP_RUN_REPORT_RUN, run->run, 16);
	pp_put_bytes_in(out, PP_RUN_REPORT_DIGEST, run->digest, 32);
	pp_put_key(out, PP_RUN_REPORT_CAUSE);
	{
		const struct proplet_text cause = pp_note_get(a, run->note[PP_NOTE_CAUSE]);

		pp_put_text(out, cause.at, cause.len);
	}
	pp_put_int_in(out, PP_RUN_REPORT_STATE, pp_run_state(run));
	if (run->has_exit) {
		pp_put_int_in(out, PP_RUN_REPORT_EXIT, run->exit);
		count++;
	}
	if (run->has_result) {
		pp_put_text_in(out, PP_RUN_REPORT_RESULT, result.at, result.len);
		count++;
	}
	if (run->has_blob) {
		pp_put_key(out, PP_RUN_REPORT_RESULT_BLOB);
		pp_put_map(out, 2);
		pp_put_bytes_in(out, PP_BLOB_REF_DIGEST, run->blob, 32);
		pp_put_int_in(out, PP_BLOB_REF_SIZE, (int64_t)run->blob_size);
		count++;
	}
	if (error.len > 0) {
		pp_put_text_in(out, PP_RUN_REPORT_ERROR, error.at, error.len);
		count++;
	}
	number(out, PP_RUN_REPORT_RESTARTS, run->starts > 0 ? run->starts - 1 : 0, &count);
	if (run->ready) {
		pp_put_key(out, PP_RUN_REPORT_READY);
		pp_put_bool(out, true);
		count++;
	}
	number(out, PP_RUN_REPORT_STARTED, run->started, &count);
	number(out, PP_RUN_REPORT_ENDED, run->ended, &count);
	number(out, PP_RUN_REPORT_SPENT, run->spent, &count);
	if (run->mode == PP_ENTRY_MODE_TIMED) {
		count += pp_times_report(a, run, out);
	}
	pp_put_close(out, mark, PP_MAJOR_MAP, count);
}
