/*
 * Schedules that this device keeps: which time has come, what became of those before. The twin of
 * proplet/timetable.py and of what runs.py does with it. A time is used up once, whatever is started
 * anew; of those missed the newest counts.
 *
 * One record a schedule, written before a run begins and after it ended: a head of fixed size, and
 * behind it the newest results as the report tells them, as many as fit.
 */
#include "calendar.h"
#include "lives.h"

#define RECORD 1024 /* bytes of a record */
#define HEAD 91
#define MINUTE 60000

static const uint8_t magic[4] = {'P', 'T', '1', 0};

static const struct pp_outcome stopped = {.error = {"", 0}};

/* -- whose ------------------------------------------------------------------------------------- */

static struct pp_times *find(const struct pp_agent *a, const uint8_t *uid, const uint8_t *run)
{
	for (size_t i = 0; i < a->memory.times_count; i++) {
		struct pp_times *const t = &a->memory.times[i];

		if (t->used && memcmp(t->uid, uid, 16) == 0 && memcmp(t->run, run, 16) == 0) {
			return t;
		}
	}
	return NULL;
}

static struct pp_times *times_of(const struct pp_agent *a, const struct pp_run *run)
{
	return find(a, run->uid, run->run);
}

struct pp_run *pp_times_owner(const struct pp_agent *a, const uint8_t *uid, const uint8_t *child)
{
	for (size_t i = 0; i < a->memory.times_count; i++) {
		struct pp_times *const t = &a->memory.times[i];

		if (t->used && t->kept && t->running && memcmp(t->uid, uid, 16) == 0 &&
		    memcmp(t->child, child, 16) == 0) {
			return pp_runs_find(a, t->uid, t->run);
		}
	}
	return NULL;
}

static void add_hex(struct pp_words *words, const uint8_t *bytes, bool dashes)
{
	static const char digits[] = "0123456789abcdef";

	for (unsigned i = 0; i < 16; i++) {
		const char two[3] = {digits[bytes[i] >> 4], digits[bytes[i] & 15], 0};

		pp_words_add(words, dashes && (i == 4 || i == 6 || i == 8 || i == 10) ? "-" : "");
		pp_words_add(words, two);
	}
}

static PP_APART void digest_of(const struct pp_agent *a, const struct pp_words *words,
			       uint8_t digest[32])
{
	struct pp_hashing h;

	pp_hashing_begin(&h, a->port);
	pp_hash_sink(&h, words->at, words->len);
	pp_hashing_end(&h, digest);
}

/* The run of one time, as manager and device both name it. */
static void child_of(const struct pp_agent *a, const struct pp_times *t, int64_t slot,
		     uint32_t attempt, uint8_t child[16])
{
	struct pp_words words;
	uint8_t digest[32];

	pp_words_init(&words);
	add_hex(&words, t->run, false);
	pp_words_add(&words, "|");
	pp_words_number(&words, (uint64_t)slot);
	pp_words_add(&words, "|");
	pp_words_number(&words, attempt);
	digest_of(a, &words, digest);
	memcpy(child, digest, 16);
}

/* When a slot is to be begun: up to `jitter` ms after it, always the same on this device. */
static int64_t fires_at(const struct pp_agent *a, const struct pp_times *t, int64_t slot)
{
	struct pp_words words;
	uint8_t digest[32];
	uint64_t number = 0;

	if (t->jitter == 0) {
		return slot;
	}
	pp_words_init(&words);
	add_hex(&words, t->uid, true);
	pp_words_add(&words, "|");
	pp_words_add(&words, a->id);
	pp_words_add(&words, "|");
	pp_words_number(&words, (uint64_t)slot);
	digest_of(a, &words, digest);
	for (unsigned i = 0; i < 8; i++) {
		number = number << 8 | digest[i];
	}
	return slot + (int64_t)(number % ((uint64_t)t->jitter + 1));
}

/* -- the record -------------------------------------------------------------------------------- */

static uint8_t *put(uint8_t *at, uint64_t value, unsigned len)
{
	for (unsigned i = 0; i < len; i++) {
		at[i] = (uint8_t)(value >> (8 * (len - 1 - i)));
	}
	return at + len;
}

static int64_t take(const uint8_t **at, unsigned len)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < len; i++) {
		value = value << 8 | (*at)[i];
	}
	*at += len;
	return (int64_t)value;
}

static void put_head(const struct pp_times *t, uint8_t *at)
{
	memcpy(at, magic, 4);
	memcpy(at + 4, t->uid, 16);
	memcpy(at + 20, t->run, 16);
	at = put(at + 36, (uint64_t)t->began, 8);
	at = put(at, (uint64_t)t->last, 8);
	at = put(at, (uint64_t)t->due, 8);
	at = put(at, t->attempt, 4);
	at = put(at, t->lost, 4);
	at = put(at, t->running, 1);
	at = put(at, (uint64_t)t->slot, 8);
	at = put(at, t->slot_attempt, 4);
	at = put(at, (uint64_t)t->started, 8);
	(void)put(at, t->past, 2);
}

size_t pp_times_write(const struct pp_times *t, const uint8_t *items, size_t len, uint8_t *to)
{
	memmove(to + HEAD, items, len);
	put_head(t, to);
	return HEAD + len;
}

/* The items of a record: so many maps, each plain CBOR. A byte before them is free: a list's head. */
static bool items_fine(uint8_t *items, size_t len, unsigned count)
{
	struct pp_items all = {items, items + len, count};
	struct pp_view item;

	if (count > PP_PAST) {
		return false;
	}
	items[-1] = (uint8_t)(0x80 | count);
	if (pp_cbor_check(items - 1, len + 1) != PP_TAKEN) {
		return false;
	}
	while (pp_next(&all, &item)) {
		if (item.at[0] >> 5 != PP_MAJOR_MAP) {
			return false;
		}
	}
	return true;
}

static bool read_head(struct pp_times *t, uint8_t *data, size_t len)
{
	const uint8_t *at = data + 36;

	if (len < HEAD || memcmp(data, magic, 4) != 0) {
		return false;
	}
	memcpy(t->uid, data + 4, 16);
	memcpy(t->run, data + 20, 16);
	t->began = take(&at, 8);
	t->last = take(&at, 8);
	t->due = take(&at, 8);
	t->attempt = (uint32_t)take(&at, 4);
	t->lost = (uint32_t)take(&at, 4);
	t->running = take(&at, 1) == 1;
	t->slot = take(&at, 8);
	t->slot_attempt = (uint32_t)take(&at, 4);
	t->started = take(&at, 8);
	t->past = (uint8_t)take(&at, 2);
	return t->began >= 0 && t->last >= 0 && t->due >= 0 && t->slot >= 0 &&
	       items_fine(data + HEAD, len - HEAD, t->past);
}

static uint16_t place_of(const struct pp_agent *a, const struct pp_times *t)
{
	return (uint16_t)(t - a->memory.times);
}

/* The end of the scratch: where a record stands while it is read or changed. */
static uint8_t *room_of(const struct pp_agent *a)
{
	return a->memory.scratch + a->memory.scratch_size - RECORD;
}

/* Bytes of the items, which stand in the room behind the head; none where nobody can read them. */
static size_t load_items(struct pp_agent *a, struct pp_times *t)
{
	uint8_t *const at = room_of(a);
	size_t len = 0;

	if (t->past > 0 &&
	    a->shell.load_times(a->shell.ctx, place_of(a, t), at, RECORD, &len) == PROPLET_OK &&
	    len >= HEAD && items_fine(at + HEAD, len - HEAD, t->past)) {
		return len - HEAD;
	}
	t->lost += t->past;
	t->past = 0;
	return 0;
}

static int save_with(struct pp_agent *a, const struct pp_times *t, size_t items)
{
	const struct pp_effect effect = {
		.what = PP_DO_SAVE_TIMES,
		.slot = place_of(a, t),
		.times = t,
		.uid = t->uid,
		.run_id = t->run,
		.data = room_of(a),
		.len = HEAD + items,
	};

	put_head(t, room_of(a));
	return pp_emit(a, &effect);
}

static int save(struct pp_agent *a, struct pp_times *t)
{
	return save_with(a, t, load_items(a, t));
}

static void forget(struct pp_agent *a, const struct pp_times *t, int64_t slot, uint32_t attempt)
{
	uint8_t child[16];
	const struct pp_effect effect = {
		.what = PP_DO_FORGET_RUN, .uid = t->uid, .run_id = child};

	child_of(a, t, slot, attempt, child);
	(void)pp_emit(a, &effect);
}

/* -- what became of a run ---------------------------------------------------------------------- */

static void put_result(struct pp_out *out, const struct pp_outcome *o)
{
	if (o->has_exit) {
		pp_put_int_in(out, PP_PAST_RUN_EXIT, o->exit);
	}
	if (o->has_result) {
		pp_put_text_in(out, PP_PAST_RUN_RESULT, o->result.at, o->result.len);
	}
	if (o->has_blob) {
		pp_put_key(out, PP_PAST_RUN_RESULT_BLOB);
		pp_put_map(out, 2);
		pp_put_bytes_in(out, PP_BLOB_REF_DIGEST, o->blob, 32);
		pp_put_int_in(out, PP_BLOB_REF_SIZE, (int64_t)o->blob_size);
	}
}

/* As the report tells it. outcome: NULL while it runs. */
static void put_past(struct pp_out *out, const struct pp_times *t, enum pp_state state,
		     const struct pp_outcome *o, struct proplet_text error, int64_t ended)
{
	const bool again = t->slot_attempt != 1;

	pp_put_map(out, 2u + again + (t->started != 0) + (ended != 0) + (error.len > 0) +
				(o == NULL ? 0u : 0u + o->has_exit + o->has_result + o->has_blob));
	pp_put_int_in(out, PP_PAST_RUN_SLOT, t->slot);
	pp_put_int_in(out, PP_PAST_RUN_STATE, state);
	if (again) {
		pp_put_int_in(out, PP_PAST_RUN_ATTEMPT, t->slot_attempt);
	}
	if (o != NULL) {
		put_result(out, o);
	}
	if (error.len > 0) {
		pp_put_text_in(out, PP_PAST_RUN_ERROR, error.at, error.len);
	}
	if (t->started != 0) {
		pp_put_int_in(out, PP_PAST_RUN_STARTED, t->started);
	}
	if (ended != 0) {
		pp_put_int_in(out, PP_PAST_RUN_ENDED, ended);
	}
}

struct gone {
	int64_t slot;
	uint32_t attempt;
};

/* Makes room behind the head for `more` bytes: the oldest items go, and are named in `gone`. */
static size_t make_room(struct pp_agent *a, struct pp_times *t, size_t items, size_t more,
			struct gone *gone, unsigned *count)
{
	uint8_t *const first = room_of(a) + HEAD;

	*count = 0;
	while (t->past > 0 && (t->past >= t->keep || HEAD + items + more > RECORD)) {
		struct pp_items all = {first, first + items, t->past};
		struct pp_view item;

		(void)pp_next(&all, &item);
		gone[*count].slot = pp_int_in(item, PP_PAST_RUN_SLOT);
		gone[*count].attempt = (uint32_t)pp_int(pp_field(item, PP_PAST_RUN_ATTEMPT), 1);
		++*count;
		items -= item.len;
		memmove(first, first + item.len, items);
		t->past--;
	}
	return items;
}

/* The run that was under way has ended so. again: it may be tried once more. */
static void note(struct pp_agent *a, struct pp_run *run, struct pp_times *t, enum pp_state state,
		 const struct pp_outcome *o, struct proplet_text error, bool alone, bool again,
		 struct pp_now now)
{
	struct gone gone[PP_PAST];
	unsigned count;
	size_t items = load_items(a, t);
	struct pp_out out;

	pp_out_init(&out, a->memory.scratch, a->memory.scratch_size - RECORD);
	put_past(&out, t, state, o, error, now.wall);
	items = make_room(a, t, items, out.len, gone, &count);
	memcpy(room_of(a) + HEAD + items, out.at, out.len);
	t->past++;
	t->running = false;
	t->lost += alone ? count : 0;
	if (again && t->due == 0 && t->last == t->slot &&
	    (!run->plan.has_max_restarts || t->slot_attempt <= run->plan.max_restarts)) {
		t->due = now.wall + pp_max(1, pp_run_delay(a, run, t->slot_attempt));
	}
	(void)save_with(a, t, items + out.len);
	for (unsigned i = 0; i < count; i++) {
		forget(a, t, gone[i].slot, gone[i].attempt);
	}
}

void pp_times_over(struct pp_agent *a, struct pp_run *run, const struct pp_outcome *o,
		   struct pp_now now)
{
	struct pp_times *const t = times_of(a, run);
	const char *why = run->why == PP_WHY_NONE      ? ""
			  : run->why == PP_WHY_DRAINED ? "cut short: the proplet was stopped"
						       : "cut short: no longer listed";
	const bool cutting = t->cutting;
	struct proplet_text error;

	if (run->why != PP_WHY_DRAINED && cutting) {
		why = "cut short: its next time had come";
	}
	t->cutting = false;
	error = o->ok ? pp_words_of("") : why[0] != 0 ? pp_words_of(why) : o->error;
	note(a, run, t,
	     o->ok	    ? PP_SUCCEEDED
	     : why[0] != 0 ? PP_INTERRUPTED
			    : PP_FAILED,
	     o, error, a->silent > 0, !o->ok, now);
	a->changed = true;
	if (run->phase == PP_PHASE_STOPPING) {
		pp_runs_ended(a, run, &stopped, now);
	}
}

/* -- time -------------------------------------------------------------------------------------- */

static void adopt(struct pp_times *t, const struct pp_run *run)
{
	const struct pp_view schedule =
		pp_field((struct pp_view){run->entry, run->entry_len}, PP_ENTRY_SCHEDULE);
	const int64_t keep = pp_int(pp_field(schedule, PP_WIRE_SCHEDULE_KEEP), 16);

	t->keep = (uint8_t)(keep > PP_PAST ? PP_PAST : keep);
	t->skip = pp_int_in(schedule, PP_WIRE_SCHEDULE_MISSED) == PP_WIRE_SCHEDULE_MISSED_SKIP;
	t->replace =
		pp_int_in(schedule, PP_WIRE_SCHEDULE_OVERLAP) == PP_WIRE_SCHEDULE_OVERLAP_REPLACE;
	t->deadline = pp_int(pp_field(schedule, PP_WIRE_SCHEDULE_DEADLINE), 600000);
	t->jitter = pp_int_in(schedule, PP_WIRE_SCHEDULE_JITTER);
	t->looked = false;
}

static bool slots_of(const struct pp_run *run, struct pp_slots *slots)
{
	const struct pp_view entry = {run->entry, run->entry_len};

	return run->entry != NULL &&
	       pp_slots_read(pp_field(pp_field(entry, PP_ENTRY_SCHEDULE), PP_WIRE_SCHEDULE_SLOTS),
			     slots);
}

/* The first slot that was not used up yet: looked for once. */
static int64_t upcoming(struct pp_times *t, const struct pp_run *run)
{
	struct pp_slots slots;

	if (!t->looked && slots_of(run, &slots)) {
		t->looked = true;
		t->next = pp_slot_after(&slots, pp_max(t->last, t->began));
	}
	return t->looked ? t->next : PP_NEVER;
}

/* The newest slot whose time has come and that was not used up; -1: none. */
static int64_t came(const struct pp_agent *a, struct pp_times *t, const struct pp_run *run,
		    int64_t wall)
{
	const int64_t first = upcoming(t, run);
	struct pp_slots slots;
	int64_t slot, until = wall;

	if (first == PP_NEVER || fires_at(a, t, first) > wall) {
		return -1;
	}
	if (!slots_of(run, &slots)) {
		return first;
	}
	while ((slot = pp_slot_newest(&slots, first, until)) >= 0 && fires_at(a, t, slot) > wall) {
		until = slot - 1;
	}
	return slot < 0 ? first : slot;
}

/* Uses up the slot that has come. Whether anything changed. */
static bool use_up(const struct pp_agent *a, struct pp_times *t, const struct pp_run *run,
		   int64_t wall)
{
	const bool anew = t->began == 0;
	int64_t slot;
	bool runs;

	if (anew) {
		t->began = wall;
		t->looked = false;
	}
	slot = came(a, t, run, wall);
	if (slot < 0) {
		return anew;
	}
	runs = !(t->skip && wall - fires_at(a, t, slot) > t->deadline) &&
	       !(t->running && !t->replace);
	t->last = slot;
	t->attempt = 0;
	t->due = runs ? wall : 0;
	t->looked = false;
	return true;
}

static void begin_next(const struct pp_agent *a, struct pp_times *t, int64_t wall)
{
	t->attempt++;
	t->due = 0;
	t->running = true;
	t->slot = t->last;
	t->slot_attempt = t->attempt;
	t->started = wall;
	child_of(a, t, t->slot, t->slot_attempt, t->child);
}

static PP_APART void tick(struct pp_agent *a, struct pp_run *run, struct pp_times *t, struct pp_now now)
{
	struct pp_effect effect = {.what = PP_DO_START, .run = run, .run_id = t->child};
	const struct pp_times before = *t;
	bool changed = use_up(a, t, run, now.wall), begins = false, cuts = false;

	if (t->due != 0 && now.wall >= t->due) {
		cuts = t->running;
		begins = !cuts;
	}
	if (begins) {
		begin_next(a, t, now.wall);
		changed = true;
	}
	if (changed && save(a, t) != PROPLET_OK) {
		*t = before; /* nothing begins whose beginning is not stored */
		pp_run_trouble(a, run, pp_words_of("its times could not be stored"));
		return;
	}
	if (begins) {
		a->changed = true;
		(void)pp_emit(a, &effect);
	} else if (cuts && !t->cutting) {
		t->cutting = true;
		effect.what = PP_DO_STOP;
		(void)pp_emit(a, &effect);
	}
}

void pp_times_keep(struct pp_agent *a, struct pp_run *run, struct pp_now now)
{
	struct pp_times *const t = times_of(a, run);
	struct pp_words why;
	bool waits;

	if (pp_stale(run) && !t->running && pp_run_obtain(a, run, now)) {
		memcpy(run->digest, run->plan.digest, 32);
		adopt(t, run);
		a->changed = true;
		(void)pp_run_save(a, run);
	}
	waits = pp_alone(a, &run->plan, &why);
	if (!waits) {
		pp_words_init(&why);
		waits = !now.synced;
		pp_words_add(&why, waits ? "its clock is not set" : "");
	}
	if (waits && now.synced && !pp_note_is(a, run->note[PP_NOTE_TROUBLE], pp_words_all(&why))) {
		run->spent = now.wall;
		(void)pp_run_save(a, run);
	}
	if (!pp_stale(run) || waits) {
		pp_run_trouble(a, run, pp_words_all(&why));
	}
	if (!waits && !a->draining && !pp_stale(run)) {
		tick(a, run, t, now);
	}
}

int64_t pp_times_due(const struct pp_agent *a, const struct pp_run *run)
{
	struct pp_times *const t = times_of(a, run);
	int64_t at = 0;

	if (t == NULL || run->phase != PP_PHASE_RUNNING || run->note[PP_NOTE_TROUBLE].len > 0) {
		return PP_NEVER;
	}
	if (t->began != 0) {
		at = upcoming(t, run);
		at = at == PP_NEVER ? at : fires_at(a, t, at);
		if (t->due != 0 && !t->running) {
			at = pp_min(at, t->due);
		}
	}
	if (at == PP_NEVER) {
		return at;
	}
	/* Looked at every minute: a wall clock can be set. */
	return a->now.mono + pp_min(MINUTE, pp_max(1, at - a->now.wall));
}

/* -- beginning and end -------------------------------------------------------------------------- */

bool pp_times_room(const struct pp_agent *a, const struct pp_run *run)
{
	for (size_t i = 0; i < a->memory.times_count; i++) {
		if (!a->memory.times[i].used) {
			return true;
		}
	}
	return times_of(a, run) != NULL;
}

void pp_times_begin(struct pp_agent *a, struct pp_run *run, struct pp_now now)
{
	struct pp_times *t = times_of(a, run);

	if (t == NULL) {
		for (t = a->memory.times; t->used; t++) {
		}
		memset(t, 0, sizeof *t);
		t->used = true;
		memcpy(t->uid, run->uid, 16);
		memcpy(t->run, run->run, 16);
	}
	adopt(t, run);
	if (!t->kept && t->running) {
		note(a, run, t, PP_INTERRUPTED, NULL,
		     pp_words_of("cut short: the proplet went down while it ran"), true, true, now);
	}
	t->kept = true;
}

void pp_times_stop(struct pp_agent *a, struct pp_run *run, struct pp_effect *effect)
{
	const struct pp_times *const t = times_of(a, run);

	if (t->running) {
		effect->run_id = t->child;
		(void)pp_emit(a, effect);
	} else { /* between two times there is no guest to wait for */
		pp_runs_ended(a, run, &stopped, a->now);
	}
}

static void drop(struct pp_agent *a, struct pp_times *t)
{
	const struct pp_effect effect = {
		.what = PP_DO_SAVE_TIMES, .slot = place_of(a, t), .uid = t->uid, .run_id = t->run};

	(void)pp_emit(a, &effect);
}

void pp_times_leave(struct pp_agent *a, const struct pp_run *run)
{
	struct pp_times *const t = times_of(a, run);
	struct pp_items all;
	struct pp_view item;
	size_t items;

	if (t == NULL) {
		return;
	}
	items = load_items(a, t);
	drop(a, t);
	all = (struct pp_items){room_of(a) + HEAD, room_of(a) + HEAD + items, t->past};
	while (t->kept && pp_next(&all, &item)) {
		forget(a, t, pp_int_in(item, PP_PAST_RUN_SLOT),
		       (uint32_t)pp_int(pp_field(item, PP_PAST_RUN_ATTEMPT), 1));
	}
	if (t->kept && t->running) {
		forget(a, t, t->slot, t->slot_attempt);
	}
	t->used = false;
}

void pp_times_load(struct pp_agent *a)
{
	uint8_t *const at = room_of(a);

	for (size_t i = 0; i < a->memory.times_count; i++) {
		struct pp_times *const t = &a->memory.times[i];
		size_t len = 0;

		memset(t, 0, sizeof *t);
		t->used = a->shell.load_times(a->shell.ctx, (uint16_t)i, at, RECORD, &len) ==
				  PROPLET_OK &&
			  read_head(t, at, len);
		/* One that is not listed, or stands twice, was on its way out. */
		if (t->used && (pp_runs_find(a, t->uid, t->run) == NULL ||
				find(a, t->uid, t->run) != t)) {
			drop(a, t);
			t->used = false;
		}
	}
}

/* -- the report --------------------------------------------------------------------------------- */

const uint8_t *pp_times_log(const struct pp_agent *a, const struct pp_run *run)
{
	static const uint8_t none[16];
	const struct pp_times *const t = times_of(a, run);

	return t != NULL && t->kept && memcmp(t->child, none, 16) != 0 ? t->child : run->run;
}

/* The list of its runs: those stored are read to where they are told. Fields written. */
size_t pp_times_report(const struct pp_agent *a, const struct pp_run *run, struct pp_out *out)
{
	const struct pp_times *const t = times_of(a, run);
	size_t len = 0, fields = 0;
	uint8_t *at;
	unsigned past;

	if (t == NULL || !t->kept) {
		return 0;
	}
	past = t->past;
	if (past > 0 || t->running) {
		pp_put_key(out, PP_RUN_REPORT_PAST);
		/* The head of the list has one byte or two: room for three stands before the record. */
		if (out->full || out->cap - out->len < 3 + RECORD) {
			out->full = true;
			return 0;
		}
		at = out->at + out->len + 3;
		if (past > 0 && (a->shell.load_times(a->shell.ctx, place_of(a, t), at, RECORD,
						     &len) != PROPLET_OK ||
				 len < HEAD || !items_fine(at + HEAD, len - HEAD, past))) {
			past = 0;
			len = HEAD;
		}
		pp_put_list(out, past + t->running);
		if (past > 0) {
			memmove(out->at + out->len, at + HEAD, len - HEAD);
			out->len += len - HEAD;
		}
		if (t->running) {
			put_past(out, t, PP_RUNNING, NULL, pp_words_of(""), 0);
		}
		fields++;
	}
	if (t->lost > 0) {
		pp_put_int_in(out, PP_RUN_REPORT_LOST, t->lost);
		fields++;
	}
	return fields;
}
