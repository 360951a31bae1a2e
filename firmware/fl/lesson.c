/* See lesson.h. */
#include "lesson.h"

#include <string.h>

#include "decimal.h"
#include "values.h"

#define DECLINED 75
#define MAX_SAMPLES ((int64_t)1 << 53)
#define ROUNDING "propeller-fl-rounding-v1"

static struct pp_view round_of(const struct proplet_guest *guest)
{
	return pp_field((struct pp_view){guest->entry, guest->entry_len}, PP_ENTRY_FL);
}

static void copy_bytes(struct pp_view map, unsigned field, uint8_t *to, size_t wanted)
{
	size_t len;
	const uint8_t *const bytes = pp_bytes_in(map, field, &len);

	if (bytes != NULL && len == wanted) {
		memcpy(to, bytes, len);
	}
}

/* -- what cannot be done here ---------------------------------------------------------------- */

static bool text_is(struct proplet_text text, const char *word)
{
	return text.len == strlen(word) && memcmp(text.at, word, text.len) == 0;
}

static size_t put_view(char *to, size_t cap, size_t at, struct proplet_text text)
{
	char shown[81];
	const size_t len = text.len < sizeof(shown) - 1 ? text.len : sizeof(shown) - 1;

	memcpy(shown, len == 0 ? "" : text.at, len);
	shown[len] = '\0';
	return proplet_put_text(to, cap, at, shown);
}

/* NULL, or why this device takes no part in such a round. */
static const char *beyond(struct pp_view fl)
{
	if (pp_has(fl, PP_WIRE_TRAINING_SECURE) ||
	    pp_int_in(fl, PP_WIRE_TRAINING_STEP) > PP_WIRE_TRAINING_STEP_EVALUATE) {
		return "this proplet takes no part in secure aggregation";
	}
	if (pp_int(pp_field(fl, PP_WIRE_TRAINING_GUEST), PP_WIRE_TRAINING_GUEST_ENV) !=
	    PP_WIRE_TRAINING_GUEST_IMPORTS) {
		return "this proplet trains modules that import propeller_fl (guest.model: Imports)";
	}
	if (pp_has(fl, PP_WIRE_TRAINING_CLIP) || pp_has(fl, PP_WIRE_TRAINING_NOISE)) {
		return "this proplet neither clips its updates nor puts noise on them";
	}
	if (pp_has(fl, PP_WIRE_TRAINING_CONTROL)) {
		return "this proplet keeps no control variates (SCAFFOLD)";
	}
	return NULL;
}

static int refuse(char *why, size_t cap, const char *words)
{
	proplet_put_text(why, cap, 0, words);
	return PROPLET_REFUSED;
}

static int check_format(struct pp_view fl, char *why, size_t cap)
{
	const struct proplet_text name = pp_text_in(fl, PP_WIRE_TRAINING_FORMAT);
	size_t at;

	if (pf_encoding_named(name) != PF_NONE) {
		return PROPLET_OK;
	}
	at = proplet_put_text(why, cap, 0, "this proplet makes no updates in ");
	at = put_view(why, cap, at, name);
	proplet_put_text(why, cap, at, "; it makes f32-delta, f32-full, q8-delta and q4-delta");
	return PROPLET_REFUSED;
}

static int check_mounts(const struct proplet_guest *guest, char *why, size_t cap)
{
	const struct pp_view entry = {guest->entry, guest->entry_len};
	struct pp_items mounts = pp_items(pp_field(entry, PP_ENTRY_MOUNTS));
	struct pp_view mount;
	unsigned count = 0;

	while (pp_next(&mounts, &mount)) {
		struct proplet_text path = pp_text_in(mount, PP_WIRE_MOUNT_PATH);

		if (!text_is(path, "/data") && !text_is(path, "/data/")) {
			const size_t at = proplet_put_text(
				why, cap, 0,
				"a module that trains sees /data and nothing else, not ");

			put_view(why, cap, at, path);
			return PROPLET_REFUSED;
		}
		count++;
	}
	return count > 1 ? refuse(why, cap, "a module that trains has one /data") : PROPLET_OK;
}

/* The parameters a round starts from: how many, where they lie, which layout. */
static const char *read_start(const struct proplet_port *port, struct pp_view fl,
			      struct pf_model *model, struct pp_view *blob)
{
	const struct pp_view layout = pp_field(fl, PP_WIRE_TRAINING_LAYOUT);
	uint32_t count = 0;
	const char *wrong = NULL;
	size_t len;

	memset(model, 0, sizeof(*model));
	*blob = pp_field(fl, PP_WIRE_TRAINING_MODEL);
	if (blob->at != NULL) {
		wrong = pf_model_read(port, pp_bytes_in(*blob, PP_BLOB_REF_DIGEST, &len),
				      (uint32_t)pp_int_in(*blob, PP_BLOB_REF_SIZE),
				      model);
	}
	if (wrong != NULL || layout.at == NULL) {
		return wrong != NULL || blob->at == NULL || model->has_layout
			       ? wrong
			       : "neither the round nor its model says the layout";
	}
	copy_bytes(layout, PP_BLOB_REF_DIGEST, model->layout, 32);
	wrong = pf_layout_read(port, model->layout,
			       (uint32_t)pp_int_in(layout, PP_BLOB_REF_SIZE), &count);
	if (wrong == NULL && blob->at != NULL && count != model->count) {
		return "its model and its layout have different numbers of parameters";
	}
	model->count = count;
	model->has_layout = true;
	return wrong;
}

static uint64_t room_for(enum pf_encoding format, uint32_t count)
{
	return PF_HEAD + PF_META + pf_body_size(format, count) + PF_SIGNATURE;
}

static int check_room(const struct proplet_school *school, struct pp_view fl, char *why, size_t cap)
{
	struct pf_model model;
	struct pp_view blob;
	const char *wrong = read_start(school->port, fl, &model, &blob);
	uint64_t need = sizeof(struct proplet_lesson) + fl.len;
	size_t at;

	if (wrong != NULL) {
		return refuse(why, cap, wrong);
	}
	need += blob.at == NULL ? 0 : 4 * (uint64_t)model.count;
	need += room_for(pf_encoding_named(pp_text_in(fl, PP_WIRE_TRAINING_FORMAT)),
			 model.count);
	if (need <= school->room) {
		return PROPLET_OK;
	}
	at = proplet_put_text(why, cap, 0, "its model and its update need ");
	at = proplet_put_number(why, cap, at, need);
	at = proplet_put_text(why, cap, at, " bytes of memory, this proplet has ");
	proplet_put_number(why, cap, at, school->room);
	return PROPLET_REFUSED;
}

static int check(void *ctx, const struct proplet_guest *guest, char *why, size_t cap)
{
	const struct proplet_school *const school = ctx;
	const struct pp_view fl = round_of(guest);
	const char *const words = beyond(fl);
	int wrong;

	if (words != NULL) {
		return refuse(why, cap, words);
	}
	wrong = check_format(fl, why, cap);
	wrong = wrong == PROPLET_OK ? check_mounts(guest, why, cap) : wrong;
	return wrong == PROPLET_OK ? check_room(school, fl, why, cap) : wrong;
}

/* -- the beginning --------------------------------------------------------------------------- */

static void leave(struct proplet_lesson *lesson)
{
	const struct proplet_school *const school = lesson->school;

	if (lesson->opened) {
		school->records->close(school->records->ctx, lesson->slot);
	}
	if (lesson->base != NULL) {
		school->os->give(school->os->ctx, lesson->base);
	}
	if (lesson->held != NULL) {
		school->os->give(school->os->ctx, lesson->held);
	}
	school->os->give(school->os->ctx, lesson);
}

static void fill(struct proplet_lesson *lesson, const struct proplet_guest *guest,
		 const struct pf_model *model, struct pp_view blob)
{
	const struct pp_view fl = lesson->fl;
	struct pf_update *const update = &lesson->update;

	lesson->slot = guest->slot;
	lesson->evaluate =
		pp_int_in(fl, PP_WIRE_TRAINING_STEP) == PP_WIRE_TRAINING_STEP_EVALUATE;
	lesson->format = pf_encoding_named(pp_text_in(fl, PP_WIRE_TRAINING_FORMAT));
	copy_bytes(fl, PP_WIRE_TRAINING_SEED, lesson->seed, PF_SEED);
	lesson->numbers.label = "propeller-fl-rand-v1";
	lesson->bytes.label = "propeller-fl-random-v1";
	lesson->count = model->count;
	lesson->has_count = model->has_layout;
	update->encoding = lesson->format;
	copy_bytes(fl, PP_WIRE_TRAINING_JOB, update->job, 16);
	copy_bytes(fl, PP_WIRE_TRAINING_NONCE, update->nonce, 16);
	update->round = (uint32_t)pp_int_in(fl, PP_WIRE_TRAINING_ROUND);
	update->attempt = (uint32_t)pp_int_in(fl, PP_WIRE_TRAINING_ATTEMPT);
	if (model->has_layout) {
		memcpy(update->layout, model->layout, 32);
	}
	copy_bytes(blob, PP_BLOB_REF_DIGEST, update->base, 32);
	memcpy(update->module, guest->module, 32);
}

/* The model in memory, and the records opened. */
static int gather(struct proplet_lesson *lesson, const struct proplet_guest *guest,
		  const struct pf_model *model, char *why, size_t cap)
{
	const struct proplet_school *const school = lesson->school;
	const struct pp_view entry = {guest->entry, guest->entry_len};
	struct pp_items mounts = pp_items(pp_field(entry, PP_ENTRY_MOUNTS));
	const struct proplet_records *const records = school->records;
	struct pp_view mount;
	int opened;

	if (lesson->has_base) {
		const size_t size = 4 * (size_t)model->count;

		lesson->base = school->os->take(school->os->ctx, size);
		if (lesson->base == NULL) {
			(void)refuse(why, cap, "no memory for the model of the round");
			return PROPLET_FULL;
		}
		if (school->port->blob_read(school->port->ctx, lesson->update.base, model->at,
					    lesson->base, size) != PROPLET_OK) {
			return refuse(why, cap, "the model of the round cannot be read");
		}
	}
	if (records == NULL || !pp_next(&mounts, &mount)) {
		return PROPLET_OK;
	}
	opened = records->open(records->ctx, lesson->slot,
			       pp_text_in(mount, PP_WIRE_MOUNT_NAME), lesson->evaluate,
			       &lesson->shape, why, cap);
	lesson->opened = opened == PROPLET_OK;
	return opened;
}

static int begin(void *ctx, const struct proplet_guest *guest, struct proplet_lesson **out,
		 char *why, size_t cap)
{
	const struct proplet_school *const school = ctx;
	const struct pp_view fl = round_of(guest);
	struct proplet_lesson *lesson;
	struct pf_model model;
	struct pp_view blob;
	const char *wrong = read_start(school->port, fl, &model, &blob);
	int error;

	if (wrong != NULL) {
		return refuse(why, cap, wrong);
	}
	lesson = school->os->take(school->os->ctx, sizeof(*lesson) + fl.len);
	if (lesson == NULL) {
		(void)refuse(why, cap, "no memory for a round");
		return PROPLET_FULL;
	}
	memset(lesson, 0, sizeof(*lesson));
	lesson->school = school;
	memcpy(lesson + 1, fl.at, fl.len);
	lesson->fl = (struct pp_view){(const uint8_t *)(lesson + 1), fl.len};
	lesson->has_base = blob.at != NULL;
	fill(lesson, guest, &model, blob);
	error = gather(lesson, guest, &model, why, cap);
	if (error != PROPLET_OK) {
		leave(lesson);
		return error;
	}
	*out = lesson;
	return PROPLET_OK;
}

/* -- submit ---------------------------------------------------------------------------------- */

static const char *sizes(char *words, uint64_t given, const char *between, uint64_t wanted,
			 const char *after)
{
	size_t at = proplet_put_text(words, PROPLET_TEXT_MAX, 0, "rejected: ");

	at = proplet_put_number(words, PROPLET_TEXT_MAX, at, given);
	at = proplet_put_text(words, PROPLET_TEXT_MAX, at, between);
	at = wanted == 0 ? at : proplet_put_number(words, PROPLET_TEXT_MAX, at, wanted);
	proplet_put_text(words, PROPLET_TEXT_MAX, at, after);
	return words;
}

static const char *rejected(char *words, const char *what)
{
	const size_t at = proplet_put_text(words, PROPLET_TEXT_MAX, 0, "rejected: ");

	proplet_put_text(words, PROPLET_TEXT_MAX, at, what);
	return words;
}

/* Of how many parameters it is; without a layout the first update decides. */
static const char *counted(struct proplet_lesson *lesson, enum pf_encoding given, uint32_t len,
			   char *words)
{
	uint64_t wanted;

	if (!lesson->has_count) {
		if (given != PF_F32_DELTA && given != PF_F32_FULL) {
			const size_t at =
				proplet_put_text(words, PROPLET_TEXT_MAX, 0, "rejected: ");

			proplet_put_text(
				words, PROPLET_TEXT_MAX,
				proplet_put_text(words, PROPLET_TEXT_MAX, at,
						 pf_encoding_name(given)),
				" needs a model or a layout to start from");
			return words;
		}
		if (len == 0 || len % 4 != 0) {
			return sizes(words, len, " bytes, not a list of f32", 0, "");
		}
		lesson->count = len / 4;
	}
	wanted = pf_body_size(given, lesson->count);
	return len == wanted ? NULL : sizes(words, len, " bytes, expected ", wanted, "");
}

static const char *encode(struct proplet_lesson *lesson, const struct pf_given *given, char *words)
{
	const struct proplet_school *const school = lesson->school;
	const uint64_t room = room_for(lesson->format, given->count);
	struct pf_philox philox;
	const char *wrong = pf_given_wrong(given);
	uint8_t key[32];

	if (wrong != NULL) {
		return rejected(words, wrong);
	}
	if (room < UINT32_MAX) {
		lesson->held = school->os->take(school->os->ctx, (size_t)room);
	}
	if (lesson->held == NULL) {
		return sizes(words, room, " bytes of memory for its update are not there", 0, "");
	}
	if (!pf_hmac(school->port, lesson->seed, ROUNDING, strlen(ROUNDING), key)) {
		return rejected(words, "this proplet cannot make a hash");
	}
	pf_philox_init(&philox, key);
	lesson->body = lesson->held + PF_HEAD + PF_META;
	lesson->body_size = (uint32_t)pf_body_size(lesson->format, given->count);
	lesson->update.count = given->count;
	wrong = pf_encode(given, lesson->format, &philox, lesson->body);
	return wrong == NULL ? NULL : rejected(words, wrong);
}

const char *proplet_lesson_submit(struct proplet_lesson *lesson, uint32_t encoding,
				  const uint8_t *data, uint32_t len, int64_t samples, char *words)
{
	struct pf_given given = {
		.encoding = pf_encoding_numbered(encoding), .body = data, .base = lesson->base};
	const char *wrong;

	if (lesson->said) {
		return rejected(words, "submit was called twice");
	}
	if (samples <= 0 || samples > MAX_SAMPLES) {
		return rejected(words, "num_samples must be at least 1");
	}
	lesson->said = true;
	lesson->samples = (uint64_t)samples;
	if (lesson->evaluate) {
		return len == 0 ? NULL
				: rejected(words,
					   "an evaluation submits no model, only its samples");
	}
	if (given.encoding == PF_NONE) {
		return rejected(words, "this proplet takes encodings 1, 2, 5 and 6 from a module");
	}
	wrong = counted(lesson, given.encoding, len, words);
	given.count = lesson->count;
	return wrong != NULL ? wrong : encode(lesson, &given, words);
}

/* -- the end --------------------------------------------------------------------------------- */

static void tell_error(struct proplet_ended *out, const char *words)
{
	out->ok = false;
	out->has_result = out->has_blob = false;
	out->error_len = (uint16_t)proplet_put_text(out->error, sizeof(out->error), 0, words);
}

/* What `train` answered, as an exit status; a function that returns nothing went well. */
static int status_of(const struct proplet_outcome *outcome)
{
	double value;

	if (!outcome->valued) {
		return outcome->exit;
	}
	if (!proplet_decimal_read(outcome->text, &value) || !(value >= -2147483648.0) ||
	    !(value <= 2147483647.0) || (double)(int32_t)value != value) {
		return 1;
	}
	return (int32_t)value;
}

static void tell_measured(struct proplet_lesson *lesson, struct proplet_ended *out)
{
	const struct proplet_school *const school = lesson->school;
	const uint64_t samples = lesson->said ? lesson->samples
					      : lesson->shape.records > 0 ? lesson->shape.records
									  : 1;
	uint8_t *large;
	size_t len;

	if (lesson->metrics.count == 0) {
		tell_error(out, "rejected: an evaluation without a metric");
		return;
	}
	len = pf_measured(&lesson->metrics, samples, out->result, sizeof(out->result));
	out->result_len = (uint16_t)len;
	out->has_result = len > 0;
	out->ok = true;
	if (len > 0) {
		return;
	}
	large = school->os->take(school->os->ctx, PF_META);
	len = large == NULL ? 0 : pf_measured(&lesson->metrics, samples, (char *)large, PF_META);
	if (len == 0 || !proplet_keep_blob(school->port, large, (uint32_t)len, out)) {
		tell_error(out, "its result could not be kept: no storage left");
	}
	if (large != NULL) {
		school->os->give(school->os->ctx, large);
	}
}

static void tell_update(struct proplet_lesson *lesson, struct proplet_ended *out)
{
	const struct proplet_school *const school = lesson->school;
	const struct pp_view most = pp_field(lesson->fl, PP_WIRE_TRAINING_SAMPLES);
	struct pf_update *const update = &lesson->update;
	uint8_t *data;
	uint32_t size;

	if (lesson->body == NULL) {
		tell_error(out, "rejected: train() came back without submit");
		return;
	}
	update->samples = lesson->samples;
	if (most.at != NULL && update->samples > (uint64_t)pp_int(most, 0)) {
		update->samples = (uint64_t)pp_int(most, 0);
	}
	if (pf_update_seal(school->port, update, &lesson->metrics, lesson->body, lesson->body_size,
			   &data, &size) != PROPLET_OK) {
		tell_error(out, "its update could not be made: it could not be signed");
	} else if (!proplet_keep_blob(school->port, data, size, out)) {
		tell_error(out, "its update could not be kept: no storage left");
	} else {
		out->ok = true;
	}
}

static void tell_returned(struct proplet_lesson *lesson, const struct proplet_outcome *outcome,
			  struct proplet_ended *out)
{
	const int status = status_of(outcome);

	out->has_exit = true;
	out->exit = status == 0 || status == DECLINED ? status : 1; /* others could carry samples */
	if (status == DECLINED) {
		tell_error(out, "declined: it has nothing to train on");
	} else if (status != 0) {
		tell_error(out, "failed: by its exit status");
	} else if (lesson->evaluate) {
		tell_measured(lesson, out);
	} else {
		tell_update(lesson, out);
	}
}

static void tell_end(struct proplet_lesson *lesson, const struct proplet_outcome *outcome,
		     struct proplet_ended *out)
{
	switch (outcome->end) {
	case PROPLET_END_RETURNED:
		tell_returned(lesson, outcome, out);
		break;
	case PROPLET_END_TRAPPED: /* its words stay on the device */
		tell_error(out, "failed: it trapped");
		break;
	case PROPLET_END_OUTPUT:
		tell_error(out, "rejected: wrote more to stdout than an update has");
		break;
	default:
		tell_error(out, outcome->text);
	}
}

static void finish(void *ctx, struct proplet_lesson *lesson, const struct proplet_outcome *outcome,
		   struct proplet_ended *out)
{
	(void)ctx;
	if (out != NULL) {
		tell_end(lesson, outcome, out);
	}
	leave(lesson);
}

void proplet_school_init(struct proplet_school *school, const struct proplet_port *port,
			 const struct proplet_os *os, const struct proplet_records *records,
			 uint64_t room)
{
	*school = (struct proplet_school){
		.lessons = {.ctx = school, .check = check, .begin = begin, .finish = finish},
		.port = port,
		.os = os,
		.records = records,
		.room = room};
}
