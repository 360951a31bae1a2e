/*
 * How long there was no word of the manager, and who may go on without one: the twin of
 * proplet/autonomy.py. A manager is there while the broker holds us and says that it is online. By a
 * clock that only goes forward; over a reboot silence goes on from what was stored, and where the
 * wall clock is set the time without power counts too.
 */
#include "inside.h"

#define PARTS 16     /* a budget is kept to so exactly over a reboot */
#define LEAST 60000 /* ms between two writes at least: flash wears */

void pp_autonomy_booted(struct pp_agent *a, const struct pp_stored *stored, struct pp_now now)
{
	a->silence.since = now.mono;
	a->silence.saved = -1;
	a->silence.word = now.synced ? now.wall : 0;
	if (!stored->has_silence) {
		return;
	}
	a->silence.word = stored->word;
	a->silence.before = pp_max(stored->silence, 0);
	if (stored->word != 0 && now.synced) {
		a->silence.before = pp_max(a->silence.before, now.wall - stored->word);
	}
}

void pp_autonomy_contact(struct pp_agent *a, struct pp_now now)
{
	const bool there = a->connected && a->manager.present;

	if (there == a->silence.there) {
		return;
	}
	a->silence.there = there;
	a->silence.before = 0;
	a->silence.since = now.mono;
	a->silence.saved = -1;
	a->silence.elapsed = 0;
	if (!there) {
		a->silence.word = now.synced ? now.wall : 0;
	}
}

int64_t pp_autonomy_silence(const struct pp_agent *a, struct pp_now now)
{
	return a->silence.there ? 0 : a->silence.before + now.mono - a->silence.since;
}

/* The least budget of what is listed, and the greatest; PP_NEVER: all goes on for ever. */
static int64_t budget(const struct pp_agent *a, int64_t *greatest)
{
	int64_t least = PP_NEVER;

	*greatest = 0;
	for (size_t i = 0; i < a->run_count; i++) {
		const struct pp_run *const run = &a->memory.runs[i];

		if (run->wanted && !run->gone && run->plan.autonomy != PP_NEVER) {
			least = pp_min(least, run->plan.autonomy);
			*greatest = pp_max(*greatest, run->plan.autonomy);
		}
	}
	return least;
}

/* When there is something to save; never once every budget is spent: flash wears. */
static int64_t next_save(const struct pp_agent *a)
{
	int64_t greatest;
	const int64_t least = budget(a, &greatest);

	if (least == PP_NEVER || (!a->silence.there && a->silence.elapsed >= greatest)) {
		return PP_NEVER;
	}
	return a->silence.saved + pp_max(LEAST, least / PARTS);
}

void pp_autonomy_save(struct pp_agent *a, struct pp_now now)
{
	int64_t greatest;
	struct pp_effect effect = {.what = PP_DO_SAVE_SILENCE};

	if (a->silence.saved >= 0 ? now.mono < next_save(a) : budget(a, &greatest) == PP_NEVER) {
		return;
	}
	a->silence.saved = now.mono;
	if (a->silence.there) {
		a->silence.word = now.synced ? now.wall : 0;
	}
	a->silence.elapsed = pp_autonomy_silence(a, now);
	effect.iat = a->silence.word;
	effect.at = a->silence.elapsed;
	(void)pp_emit(a, &effect);
}

/* Ms of silence, from the last turn on, until one more budget is spent. */
static int64_t spent_in(const struct pp_agent *a)
{
	int64_t least = PP_NEVER;

	for (size_t i = 0; i < a->run_count; i++) {
		const struct pp_run *const run = &a->memory.runs[i];

		if (run->phase != PP_PHASE_ENDED && run->plan.autonomy > a->silent) {
			least = pp_min(least, run->plan.autonomy);
		}
	}
	return least == PP_NEVER ? PP_NEVER : least - a->silent;
}

int64_t pp_autonomy_due(const struct pp_agent *a, struct pp_now now)
{
	int64_t due = a->silence.saved >= 0 ? next_save(a) : PP_NEVER;

	if (!a->silence.there && spent_in(a) != PP_NEVER) {
		due = pp_min(due, now.mono + spent_in(a));
	}
	return due;
}

bool pp_alone(const struct pp_agent *a, const struct pp_plan *plan, struct pp_words *why)
{
	static const struct {
		uint32_t ms;
		const char *name;
	} units[] = {{3600000, "h"}, {60000, "m"}, {1000, "s"}, {1, "ms"}};
	unsigned i = 0;

	if (plan->autonomy == PP_NEVER || a->silent < plan->autonomy) {
		return false;
	}
	while (i < 3 && (plan->autonomy == 0 || plan->autonomy % units[i].ms != 0)) {
		i++;
	}
	pp_words_init(why);
	pp_words_add(why, "no word of the manager for ");
	pp_words_number(why, (uint64_t)(plan->autonomy / units[i].ms));
	pp_words_add(why, units[i].name);
	pp_words_add(why, " (placement.autonomy)");
	return true;
}
