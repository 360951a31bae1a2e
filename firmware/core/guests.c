/*
 * Guests of the device: checked, started, stopped, told of, and their logs read. The engine's threads
 * are not seen here: everything comes through poll.
 */
#include "admit.h"
#include "cbor.h"
#include "device.h"
#include "inside.h"

#define AGAIN 20  /* ms until an engine that is busy is asked again, and a log is looked at */
#define PIECE 256 /* bytes of log in one answer */

/* -- an entry as a guest ------------------------------------------------------------------------ */

static struct pp_view entry_of(const struct proplet_guest *guest)
{
	return (struct pp_view){guest->entry, guest->entry_len};
}

static bool item_at(const struct proplet_guest *guest, unsigned field, unsigned index,
		    struct proplet_text *out)
{
	struct pp_items items = pp_items(pp_field(entry_of(guest), field));
	struct pp_view item;

	for (unsigned i = 0; pp_next(&items, &item); i++) {
		if (i == index) {
			*out = pp_text(item);
			return true;
		}
	}
	return false;
}

bool proplet_guest_arg(const struct proplet_guest *guest, unsigned index, struct proplet_text *out)
{
	return item_at(guest, PP_ENTRY_ARGS, index, out);
}

bool proplet_guest_env(const struct proplet_guest *guest, unsigned index, struct proplet_text *out)
{
	return item_at(guest, PP_ENTRY_ENV, index, out);
}

static uint64_t limit(struct pp_view entry, unsigned field)
{
	return pp_has(entry, field) ? (uint64_t)pp_int_in(entry, field)
				    : PROPLET_UNLIMITED;
}

/* The export that is called: where `propeller_fl` is imported, the one named like the step. */
static struct proplet_text trains_at(struct pp_view fl, struct proplet_text otherwise)
{
	if (pp_int(pp_field(fl, PP_WIRE_TRAINING_GUEST), PP_WIRE_TRAINING_GUEST_ENV) !=
	    PP_WIRE_TRAINING_GUEST_IMPORTS) {
		return otherwise;
	}
	return pp_words_of(pp_int_in(fl, PP_WIRE_TRAINING_STEP) ==
					   PP_WIRE_TRAINING_STEP_EVALUATE
				   ? "evaluate"
				   : "train");
}

static void make_guest(struct proplet_guest *guest, const struct proplet *p, const struct pp_run *run,
		       const uint8_t *run_id)
{
	const struct pp_view entry = {run->entry, run->entry_len};

	memset(guest, 0, sizeof *guest);
	memcpy(guest->uid, run->uid, 16);
	memcpy(guest->run, run_id, 16);
	memcpy(guest->module, run->plan.module, 32);
	guest->daemon = run->plan.mode == PP_ENTRY_MODE_DAEMON;
	guest->module_size = (uint32_t)run->plan.module_size;
	guest->trains = run->plan.trains;
	guest->device = p;
	guest->aot = run->plan.aot;
	guest->entry = run->entry;
	guest->entry_len = run->entry_len;
	guest->ref = pp_text_in(entry, PP_ENTRY_REF);
	guest->entrypoint = pp_text_in(entry, PP_ENTRY_ENTRYPOINT);
	if (guest->trains) {
		guest->entrypoint = trains_at(pp_field(entry, PP_ENTRY_FL), guest->entrypoint);
	}
	guest->stdin_text = pp_text_in(entry, PP_ENTRY_STDIN);
	guest->args = (uint16_t)pp_count(pp_field(entry, PP_ENTRY_ARGS));
	guest->env = (uint16_t)pp_count(pp_field(entry, PP_ENTRY_ENV));
	guest->secrets = (uint16_t)pp_count(pp_field(entry, PP_ENTRY_SEALED));
	guest->memory = limit(entry, PP_ENTRY_MEMORY);
	guest->fuel = limit(entry, PP_ENTRY_FUEL);
	guest->timeout_ms = limit(entry, PP_ENTRY_TIMEOUT);
	guest->output = pp_has(entry, PP_ENTRY_OUTPUT)
				? (uint64_t)pp_int_in(entry, PP_ENTRY_OUTPUT)
				: 65536;
}

/* -- starting and stopping ---------------------------------------------------------------------- */

static struct proplet_place *place_of(struct proplet *p, const uint8_t *uid, const uint8_t *run)
{
	for (unsigned i = 0; i < PROPLET_GUESTS; i++) {
		struct proplet_place *const place = &p->places[i];

		if (place->taken && memcmp(place->uid, uid, 16) == 0 &&
		    memcmp(place->run, run, 16) == 0) {
			return place;
		}
	}
	return NULL;
}

int pp_guests_start(struct proplet *p, const struct pp_run *run, const uint8_t *run_id,
		    uint32_t restarts)
{
	struct proplet_guest guest;
	struct proplet_place *place;
	unsigned i = 0;

	while (i < PROPLET_GUESTS - 1 && p->places[i].taken) {
		i++;
	}
	place = &p->places[i];
	memset(place, 0, sizeof *place);
	memcpy(place->uid, run->uid, 16);
	memcpy(place->run, run_id, 16);
	place->taken = true;
	place->stop_at = -1;
	for (unsigned j = 0; j < PROPLET_LOGS; j++) {
		p->logs[j].used = p->logs[j].used && p->logs[j].place != i;
	}
	p->start_why[0] = 0;
	if (i >= p->engine->slots) {
		memcpy(p->start_why, "no slot is free", 16);
		place->failed = true;
		return PROPLET_FULL;
	}
	make_guest(&guest, p, run, run_id);
	guest.slot = (uint8_t)i;
	if (guest.trains) { /* its update will need a place */
		pp_blobs_make_room(p, run->plan.input_size[0] + 4096);
	}
	guest.restarts = restarts;
	if (p->engine->start(p->engine->ctx, &guest, p->start_why, sizeof p->start_why) !=
	    PROPLET_OK) {
		place->failed = true;
	}
	return PROPLET_OK;
}

void pp_guests_stop(struct proplet *p, const struct pp_run *run, const uint8_t *run_id,
		    int64_t grace)
{
	struct proplet_place *const place = place_of(p, run->uid, run_id);

	if (place == NULL) {
		return;
	}
	if (grace > 0) {
		place->stop_at = proplet_now(p).mono + grace;
		return;
	}
	place->stop_at = -1;
	if (!place->failed) {
		p->engine->stop(p->engine->ctx, (uint8_t)(place - p->places));
	}
}

static PP_APART void tell_failed(struct proplet *p, struct proplet_place *place)
{
	struct pp_words words;
	struct pp_outcome outcome = {.ok = false};
	uint8_t uid[16], run[16];

	pp_words_init(&words);
	pp_words_add(&words, "could not be started: ");
	pp_words_add(&words, p->start_why[0] != 0 ? p->start_why : "the engine did not say why");
	outcome.error = pp_words_all(&words);
	memcpy(uid, place->uid, 16);
	memcpy(run, place->run, 16);
	place->taken = place->failed = false;
	pp_agent_ended(&p->agent, uid, run, &outcome, proplet_now(p));
}

static void tell_ended(struct proplet *p)
{
	const struct proplet_ended *const told = &p->ended;
	struct proplet_place *const place = &p->places[told->slot];
	struct pp_outcome outcome = {
		.ok = told->ok,
		.has_exit = told->has_exit,
		.has_result = told->has_result && !told->has_blob,
		.has_blob = told->has_blob,
		.exit = told->exit,
		.result = {told->result, told->result_len},
		.error = {told->error, told->error_len},
		.blob_size = told->blob_size,
	};

	if (!place->taken || place->failed) {
		return;
	}
	memcpy(outcome.blob, told->blob, 32);
	if (told->result_len > PROPLET_NOTE || told->error_len > PROPLET_NOTE ||
	    !pp_utf8((const uint8_t *)told->result, told->result_len) ||
	    !pp_utf8((const uint8_t *)told->error, told->error_len)) {
		outcome.ok = false;
		outcome.has_result = false;
		outcome.error = pp_words_of("its result is not text");
	}
	place->taken = false;
	pp_agent_ended(&p->agent, place->uid, place->run, &outcome, proplet_now(p));
}

/* -- preparing ---------------------------------------------------------------------------------- */

static bool wants_judgement(const struct pp_run *run)
{
	return run->wanted && run->entry != NULL && run->has_asked && !run->prepared &&
	       run->note[PP_NOTE_UNFIT].len == 0 &&
	       (run->phase == PP_PHASE_PREPARING || run->phase == PP_PHASE_RUNNING) &&
	       memcmp(run->asked, run->plan.digest, 32) == 0;
}

/* PROPLET_OK, PROPLET_BUSY, or PROPLET_REFUSED and why. */
static PP_APART int judge(struct proplet *p, const struct pp_run *run, struct pp_words *words)
{
	struct proplet_guest guest;
	int why;

	make_guest(&guest, p, run, run->run);
	pp_words_init(words);
	if (pp_boxes_refuse(p, &guest, words)) {
		return PROPLET_REFUSED;
	}
	if (!guest.trains && pp_count(pp_field(entry_of(&guest), PP_ENTRY_MOUNTS)) > 0) {
		pp_words_add(words, "this proplet shows directories to no guest but one that trains");
		return PROPLET_REFUSED;
	}
	if (!pp_admit(p->port, p->engine, &guest, words)) {
		return PROPLET_REFUSED;
	}
	words->at[0] = 0;
	why = p->engine->check(p->engine->ctx, &guest, words->at, sizeof words->at);
	words->at[sizeof words->at - 1] = 0;
	if (why != PROPLET_OK && why != PROPLET_BUSY && words->at[0] == 0) {
		pp_words_add(words, "the engine does not take it");
	}
	return why;
}

static PP_APART bool prepare_next(struct proplet *p)
{
	struct pp_words words;

	p->busy = false;
	for (size_t i = 0; i < p->agent.run_count; i++) {
		const struct pp_run *const run = &p->agent.memory.runs[i];
		uint8_t uid[16], id[16], digest[32];
		int why;

		if (!wants_judgement(run)) {
			continue;
		}
		why = judge(p, run, &words);
		if (why == PROPLET_BUSY) {
			p->busy = true;
			continue;
		}
		memcpy(uid, run->uid, 16);
		memcpy(id, run->run, 16);
		memcpy(digest, run->asked, 32);
		if (why == PROPLET_OK) {
			pp_agent_prepared(&p->agent, uid, id, digest, proplet_now(p));
		} else {
			pp_agent_unfit(&p->agent, uid, id, digest, words.at, proplet_now(p));
		}
		return true;
	}
	return false;
}

/* -- logs --------------------------------------------------------------------------------------- */

static size_t read_log(struct proplet *p, const struct proplet_log *log, unsigned which, char *buf,
		       size_t cap, uint32_t *first, uint32_t *end)
{
	*first = *end = 0;
	return p->engine->log_read(p->engine->ctx, log->place,
				   which == 0 ? PROPLET_STDOUT : PROPLET_STDERR, log->off[which],
				   buf, cap, first, end);
}

void pp_guests_tail(struct proplet *p, const struct pp_effect *e)
{
	struct proplet_log *log = p->logs;
	unsigned place = 0;
	char none[1];

	while (log < p->logs + PROPLET_LOGS - 1 && log->used) {
		log++;
	}
	memset(log, 0, sizeof *log);
	log->used = true;
	memcpy(log->op, e->op, strlen(e->op) + 1);
	/* A guest that ended keeps its place's log until the place is taken again. */
	while (place < p->engine->slots && (memcmp(p->places[place].uid, e->uid, 16) != 0 ||
					    memcmp(p->places[place].run, e->run_id, 16) != 0)) {
		place++;
	}
	log->place = (uint8_t)place;
	log->stream = e->stream;
	log->until = proplet_now(p).mono + e->follow;
	for (unsigned i = 0; i < 2 && place < p->engine->slots && p->engine->log_read != NULL; i++) {
		uint32_t first, end;

		(void)read_log(p, log, i, none, 0, &first, &end);
		log->off[i] = end - first > e->tail ? (uint32_t)(end - e->tail) : first;
	}
}

/* What is not UTF-8 becomes a question mark; a character cut by the end waits for its rest. */
static size_t as_text(char *text, size_t len)
{
	for (size_t i = 0; i < len;) {
		const uint8_t lead = (uint8_t)text[i];
		const size_t size = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;

		if (i + size > len && lead >= 0xC2 && lead < 0xF5 && i > 0) {
			return i;
		}
		if (i + size <= len && pp_utf8((const uint8_t *)text + i, size)) {
			i += size;
		} else {
			text[i++] = '?';
		}
	}
	return len;
}

/* One piece of one log, or its end. */
static PP_APART bool log_step(struct proplet *p, struct proplet_log *log)
{
	char text[PIECE], op[65];
	const struct pp_now now = proplet_now(p);
	const bool here = log->place < p->engine->slots && p->engine->log_read != NULL;
	uint32_t first, end, lost;
	size_t len = 0;

	memcpy(op, log->op, sizeof op);
	for (unsigned i = 0; here && i < 2; i++) {
		if (log->stream != PROPLET_BOTH && log->stream != i + 1) {
			continue;
		}
		len = read_log(p, log, i, text, sizeof text, &first, &end);
		lost = first > log->off[i] ? first - log->off[i] : 0;
		len = as_text(text, len);
		log->off[i] += lost + (uint32_t)len;
		if (len > 0 || lost > 0) {
			pp_agent_log_piece(&p->agent, op, (uint8_t)(i + 1),
					   (struct proplet_text){text, len}, lost, false, now);
			return true;
		}
	}
	if (here && now.mono < log->until && p->places[log->place].taken) {
		return false;
	}
	log->used = false;
	pp_agent_log_piece(&p->agent, op, 0, (struct proplet_text){"", 0}, 0, true, now);
	return true;
}

/* -- the pump ----------------------------------------------------------------------------------- */

static bool stop_late(struct proplet *p)
{
	for (unsigned i = 0; i < p->engine->slots; i++) {
		struct proplet_place *const place = &p->places[i];

		if (place->taken && place->stop_at >= 0 && proplet_now(p).mono >= place->stop_at) {
			place->stop_at = -1;
			p->engine->stop(p->engine->ctx, (uint8_t)i);
		}
	}
	return false;
}

bool pp_guests_pump(struct proplet *p)
{
	for (unsigned i = 0; i < PROPLET_GUESTS; i++) {
		if (p->places[i].taken && p->places[i].failed) {
			tell_failed(p, &p->places[i]);
			return true;
		}
	}
	if (p->engine->poll(p->engine->ctx, &p->ended) && p->ended.slot < p->engine->slots) {
		tell_ended(p);
		return true;
	}
	if (prepare_next(p)) {
		return true;
	}
	for (unsigned i = 0; i < PROPLET_LOGS; i++) {
		if (p->logs[i].used && log_step(p, &p->logs[i])) {
			return true;
		}
	}
	return stop_late(p);
}

int64_t pp_guests_due(const struct proplet *p)
{
	int64_t due = PP_NEVER;

	for (unsigned i = 0; i < p->engine->slots; i++) {
		if (p->places[i].taken && p->places[i].stop_at >= 0) {
			due = pp_min(due, p->places[i].stop_at);
		}
	}
	for (unsigned i = 0; i < PROPLET_LOGS; i++) {
		if (p->logs[i].used) {
			due = pp_min(due, p->last_mono + AGAIN);
		}
	}
	return p->busy ? pp_min(due, p->last_mono + AGAIN) : due;
}
