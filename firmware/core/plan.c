/*
 * What an entry asks for, what fits on this device, and which older run gives way to which newer
 * one: the twin of proplet/capacity.py and takeover.py.
 */
#include "calendar.h"
#include "inside.h"

static void read_blob(struct pp_view ref, uint8_t digest[32], uint64_t *size)
{
	size_t len;
	const uint8_t *const bytes = pp_bytes_in(ref, PP_BLOB_REF_DIGEST, &len);

	if (len == 32) {
		memcpy(digest, bytes, 32);
	}
	*size = (uint64_t)pp_int_in(ref, PP_BLOB_REF_SIZE);
}

void pp_plan_read(struct pp_plan *plan, struct pp_view entry)
{
	const struct pp_view fl = pp_field(entry, PP_ENTRY_FL);
	const struct pp_view most = pp_field(entry, PP_ENTRY_MAX_RESTARTS);
	const struct pp_view model = pp_field(fl, PP_WIRE_TRAINING_MODEL);
	const struct pp_view layout = pp_field(fl, PP_WIRE_TRAINING_LAYOUT);
	const struct pp_view module = pp_field(entry, PP_ENTRY_MODULE);
	const struct pp_view aot = pp_field(module, PP_WIRE_MODULE_AOT);
	size_t len;

	memset(plan, 0, sizeof *plan);
	memcpy(plan->digest, pp_bytes_in(entry, PP_ENTRY_DIGEST, &len), 32);
	plan->aot = aot.at != NULL;
	read_blob(plan->aot ? aot : module, plan->module, &plan->module_size);
	plan->mode = (uint8_t)pp_int_in(entry, PP_ENTRY_MODE);
	plan->restart = (uint8_t)pp_int_in(entry, PP_ENTRY_RESTART);
	plan->update = (uint8_t)(1 + pp_int(pp_field(entry, PP_ENTRY_UPDATE), -1));
	plan->has_memory = pp_has(entry, PP_ENTRY_MEMORY);
	plan->memory = (uint64_t)pp_int_in(entry, PP_ENTRY_MEMORY);
	plan->backoff_base = (uint64_t)pp_int(pp_field(entry, PP_ENTRY_BACKOFF_BASE), 1000);
	plan->backoff_cap = (uint64_t)pp_int(pp_field(entry, PP_ENTRY_BACKOFF_CAP), 300000);
	plan->ready_after = (uint64_t)pp_int_in(entry, PP_ENTRY_READY_AFTER);
	plan->autonomy = pp_int(pp_field(entry, PP_ENTRY_AUTONOMY), PP_NEVER);
	plan->has_max_restarts = most.at != NULL;
	plan->max_restarts = (uint32_t)pp_int(most, 0);
	plan->trains = fl.at != NULL;
	if (model.at != NULL) {
		plan->has_model = true;
		read_blob(model, plan->input[0], &plan->input_size[0]);
		plan->inputs = 1;
	}
	if (layout.at != NULL) {
		read_blob(layout, plan->input[plan->inputs], &plan->input_size[plan->inputs]);
		plan->inputs++;
	}
}

bool pp_lasts(const struct pp_run *run)
{
	return run->mode != PP_ENTRY_MODE_ONCE;
}

bool pp_stale(const struct pp_run *run)
{
	return pp_lasts(run) && memcmp(run->digest, run->plan.digest, 32) != 0;
}

bool pp_kills_first(const struct pp_run *run)
{
	return pp_lasts(run) &&
	       run->plan.update == 1 + PP_ENTRY_UPDATE_KILL_THEN_DOWNLOAD;
}

bool pp_hands_over(const struct pp_run *run)
{
	return pp_lasts(run) &&
	       run->plan.update == 1 + PP_ENTRY_UPDATE_HAND_OVER;
}

bool pp_could_start(const struct pp_run *run)
{
	return run->prepared && run->has_asked && memcmp(run->asked, run->plan.digest, 32) == 0;
}

/* -- what can never run here ---------------------------------------------------------------- */

static bool module_too_large(const struct pp_agent *a, const struct pp_run *run, struct pp_words *why)
{
	if (a->max_module == 0 || run->plan.module_size <= a->max_module) {
		return false;
	}
	pp_words_add(why, "the module is ");
	pp_words_number(why, run->plan.module_size);
	pp_words_add(why, " bytes, the most here is ");
	pp_words_number(why, a->max_module);
	return true;
}

static bool is_aot_word(struct proplet_text word, struct proplet_text target)
{
	return word.len == sizeof PP_AOT - 1 + target.len &&
	       memcmp(word.at, PP_AOT, sizeof PP_AOT - 1) == 0 &&
	       memcmp(word.at + sizeof PP_AOT - 1, target.at, target.len) == 0;
}

/* Native code runs only where this device offered it, and never in place of a count. */
static bool aot_refused(const struct pp_agent *a, const struct pp_run *run, struct pp_words *why)
{
	const struct pp_view entry = {run->entry, run->entry_len};
	const struct pp_view aot = pp_field(pp_field(entry, PP_ENTRY_MODULE), PP_WIRE_MODULE_AOT);
	const struct proplet_text target = pp_text(pp_field(aot, PP_WIRE_AOT_TARGET));
	struct pp_items items = pp_items(pp_field(a->hello, PP_HELLO_IMPORTS));
	struct pp_view item;
	bool offered = false;

	while (!offered && pp_next(&items, &item)) {
		offered = is_aot_word(pp_text(item), target);
	}
	if (!offered) {
		pp_words_add(why, "native code for ");
		pp_words_text(why, target);
		pp_words_add(why, " is not run here");
		return true;
	}
	if (pp_has(entry, PP_ENTRY_FUEL)) {
		pp_words_add(why, "the fuel of native code cannot be counted");
		return true;
	}
	return false;
}

static struct proplet_text without_rw(struct proplet_text offered, bool *writable)
{
	*writable = offered.len >= 3 && memcmp(offered.at + offered.len - 3, ":rw", 3) == 0;
	if (*writable) {
		offered.len -= 3;
	}
	return offered;
}

static void list_offered(struct pp_view mounts, struct pp_words *why)
{
	struct pp_items items = pp_items(mounts);
	struct pp_view item;
	bool writable, first = true;

	while (pp_next(&items, &item)) {
		pp_words_add(why, first ? "" : ", ");
		pp_words_text(why, without_rw(pp_text(item), &writable));
		first = false;
	}
	pp_words_add(why, first ? "none" : "");
}

static bool mount_refused(struct pp_view offers, struct pp_view mount, struct pp_words *why)
{
	const struct proplet_text name = pp_text_in(mount, PP_WIRE_MOUNT_NAME);
	struct pp_items items = pp_items(offers);
	struct pp_view item;
	bool writable = false, found = false;

	while (!found && pp_next(&items, &item)) {
		const struct proplet_text offered = without_rw(pp_text(item), &writable);

		found = offered.len == name.len && memcmp(offered.at, name.at, name.len) == 0;
	}
	if (found && (writable || pp_int_in(mount, PP_WIRE_MOUNT_ACCESS) !=
					  PP_WIRE_MOUNT_ACCESS_READ_WRITE)) {
		return false;
	}
	pp_words_add(why, found ? "mount '" : "no mount '");
	pp_words_text(why, name);
	pp_words_add(why, found ? "' is read-only here" : "' here; offered: ");
	if (!found) {
		list_offered(offers, why);
	}
	return true;
}

static const char *const modes[] = {"once", "daemon", "serve", "timed"};

static bool keeps_time(const struct pp_agent *a, struct pp_view entry, struct pp_words *why)
{
	const struct pp_view schedule = pp_field(entry, PP_ENTRY_SCHEDULE);
	struct pp_slots slots;

	if (a->memory.times_count == 0) {
		pp_words_add(why, "this device keeps no schedules");
		return false;
	}
	if (!pp_slots_read(pp_field(schedule, PP_WIRE_SCHEDULE_SLOTS), &slots)) {
		pp_words_add(why, "the schedule comes without slots: no time zones are known here");
		return false;
	}
	return true;
}

/* What an entry may ask of others and this agent does not know how to keep. */
static PP_APART bool wants_more(const struct pp_agent *a, struct pp_view entry, uint8_t mode, struct pp_words *why)
{
	static const struct {
		uint8_t field;
		const char *words;
	} asked[] = {
		{PP_ENTRY_SERVE, "this device takes no calls"},
		{PP_ENTRY_MODELS, "this device hands no models to guests"},
		{PP_ENTRY_TOPICS, "this device carries no messages of guests"},
		{PP_ENTRY_HTTP, "this device lets no guest send HTTP requests"},
	};
	const struct proplet_text engine = pp_text(pp_field(entry, PP_ENTRY_EXTERNAL));

	for (unsigned i = 0; i < sizeof asked / sizeof asked[0]; i++) {
		if (pp_has(entry, asked[i].field)) {
			pp_words_add(why, asked[i].words);
			return true;
		}
	}
	if (mode == PP_ENTRY_MODE_SERVE) {
		pp_words_add(why, "mode 'serve' is not known here");
		return true;
	}
	if ((mode == PP_ENTRY_MODE_TIMED) != pp_has(entry, PP_ENTRY_SCHEDULE)) {
		pp_words_add(why, "an entry says when it is run if it is run by a schedule");
		return true;
	}
	if (mode == PP_ENTRY_MODE_TIMED && !keeps_time(a, entry, why)) {
		return true;
	}
	if (pp_has(entry, PP_ENTRY_EXTERNAL)) {
		pp_words_add(why, "no external engine '");
		pp_words_text(why, engine);
		pp_words_add(why, "' here; there are: none");
		return true;
	}
	if (pp_has(pp_field(entry, PP_ENTRY_MODULE), PP_WIRE_MODULE_PLAIN)) {
		pp_words_add(why, "this device opens no encrypted modules");
		return true;
	}
	return false;
}

/* A point is offered under its own name as a sensor, with :w behind it as an output. */
static PP_APART bool point_refused(struct pp_view offers, struct pp_view point, struct pp_words *why)
{
	const bool write = pp_has(point, PP_WIRE_POINT_WRITE);
	const struct proplet_text name =
		pp_text_in(point, write ? PP_WIRE_POINT_WRITE : PP_WIRE_POINT_READ);
	struct pp_items items = pp_items(offers);
	struct pp_view item;
	bool first = true;

	while (pp_next(&items, &item)) {
		const struct proplet_text one = pp_text(item);

		if (one.len == name.len + (write ? 2 : 0) && memcmp(one.at, name.at, name.len) == 0 &&
		    (!write || memcmp(one.at + name.len, ":w", 2) == 0)) {
			return false;
		}
	}
	pp_words_add(why, write ? "no output '" : "no sensor '");
	pp_words_text(why, name);
	pp_words_add(why, "' here; offered: ");
	for (items = pp_items(offers); pp_next(&items, &item); first = false) {
		pp_words_add(why, first ? "" : ", ");
		pp_words_text(why, pp_text(item));
	}
	pp_words_add(why, first ? "none" : "");
	return true;
}

bool pp_refusal(const struct pp_agent *a, const struct pp_run *run, struct pp_words *why)
{
	const struct pp_view entry = {run->entry, run->entry_len};
	struct pp_items mounts = pp_items(pp_field(entry, PP_ENTRY_MOUNTS));
	struct pp_items points = pp_items(pp_field(entry, PP_ENTRY_POINTS));
	struct pp_view mount, point;

	pp_words_init(why);
	if (wants_more(a, entry, run->plan.mode, why)) {
		return true;
	}
	if (run->plan.mode != run->mode) {
		pp_words_add(why, "the run was listed as ");
		pp_words_add(why, modes[run->mode & 3]);
		pp_words_add(why, " before: ");
		pp_words_add(why, modes[run->plan.mode & 3]);
		pp_words_add(why, " needs a new run");
		return true;
	}
	if (module_too_large(a, run, why) || (run->plan.aot && aot_refused(a, run, why))) {
		return true;
	}
	if (run->plan.has_memory && a->most_memory != 0 && run->plan.memory > a->most_memory) {
		pp_words_add(why, "needs ");
		pp_words_number(why, run->plan.memory);
		pp_words_add(why, " bytes of memory, has ");
		pp_words_number(why, a->most_memory);
		return true;
	}
	while (pp_next(&mounts, &mount)) {
		if (mount_refused(pp_field(a->hello, PP_HELLO_MOUNTS), mount, why)) {
			return true;
		}
	}
	while (pp_next(&points, &point)) {
		if (point_refused(pp_field(a->hello, PP_HELLO_POINTS), point, why)) {
			return true;
		}
	}
	return false;
}

/* -- what does not fit just now ------------------------------------------------------------- */

static void in_use(const struct pp_agent *a, uint64_t *alive, uint64_t *memory)
{
	*alive = 0;
	*memory = 0;
	for (size_t i = 0; i < a->run_count; i++) {
		if (pp_run_alive(&a->memory.runs[i])) {
			++*alive;
			*memory += a->memory.runs[i].memory;
		}
	}
}

bool pp_fits(const struct pp_agent *a, const struct pp_run *run)
{
	uint64_t alive, memory;

	for (size_t i = 0; i < a->run_count; i++) {
		const struct pp_run *const other = &a->memory.runs[i];

		if (pp_run_alive(other) && !other->wanted && !pp_hands_over(run) &&
		    memcmp(other->uid, run->uid, 16) == 0) {
			return false;
		}
	}
	in_use(a, &alive, &memory);
	if (a->most_tasks != 0 && alive >= a->most_tasks) {
		return false;
	}
	return a->most_memory == 0 || memory + run->plan.memory <= a->most_memory;
}

void pp_free(const struct pp_agent *a, uint64_t *memory, uint64_t *tasks)
{
	uint64_t alive, used;

	in_use(a, &alive, &used);
	*memory = a->most_memory > used ? a->most_memory - used : 0;
	*tasks = a->most_tasks > alive ? a->most_tasks - alive : 0;
}

/* -- who gives way to whom -------------------------------------------------------------------- */

bool pp_is_older(const struct pp_run *run, const struct pp_run *newer)
{
	return !run->gone && !run->wanted && run != newer && memcmp(run->uid, newer->uid, 16) == 0;
}

bool pp_has_older(const struct pp_agent *a, const struct pp_run *run)
{
	for (size_t i = 0; i < a->run_count; i++) {
		if (pp_is_older(&a->memory.runs[i], run)) {
			return true;
		}
	}
	return false;
}

static bool needs_it(struct pp_agent *a, const struct pp_run *newer)
{
	const bool coming = newer->phase == PP_PHASE_WAITING || newer->phase == PP_PHASE_FETCHING ||
			    newer->phase == PP_PHASE_PREPARING;

	if (pp_kills_first(newer)) {
		return false;
	}
	if (!pp_hands_over(newer)) {
		return coming && !pp_could_start(newer);
	}
	if (newer->ready) {
		return false;
	}
	if (coming && pp_could_start(newer) && !pp_fits(a, newer)) {
		pp_say(a, PROPLET_WARNING,
		       "there is no room for two copies, so the old one is stopped first");
		return false;
	}
	return true; /* not ready yet, or failed: the old one serves until the list says otherwise */
}

bool pp_awaited(struct pp_agent *a, const struct pp_run *old)
{
	if (!pp_lasts(old)) {
		return false;
	}
	for (size_t i = 0; i < a->run_count; i++) {
		const struct pp_run *const one = &a->memory.runs[i];

		if (!one->gone && one->wanted && pp_lasts(one) &&
		    memcmp(one->uid, old->uid, 16) == 0 && needs_it(a, one)) {
			return true;
		}
	}
	return false;
}
