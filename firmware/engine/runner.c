/* See runner.h. */
#include "runner.h"

#include <string.h>

#include "natives.h"
#include "values.h"
#ifdef PROPLET_POINTS
#include "proplet/tables.h"
#include "proplet/wire.h"
#endif

enum { FREE, RUNS, ENDED };

static const char *const imports[] = {"wasi_snapshot_preview1", "propeller_fl", NULL};
static const char *const imports_without[] = {"wasi_snapshot_preview1", NULL};

/* -- on the guest's thread ----------------------------------------------------------------- */

static bool keep_first(struct proplet_capture *capture, uint32_t limit, const uint8_t *data,
		       size_t size)
{
	uint32_t left = limit - capture->total;
	bool fits = size <= left;
	uint32_t take = fits ? (uint32_t)size : left;

	memcpy(capture->data + capture->total, data, take);
	capture->total += take;
	return fits;
}

static void keep_newest(struct proplet_capture *capture, const uint8_t *data, size_t size)
{
	if (size > capture->cap) {
		capture->total += (uint32_t)(size - capture->cap);
		data += size - capture->cap;
		size = capture->cap;
	}
	while (size > 0) {
		uint32_t at = capture->total % capture->cap;
		uint32_t run = capture->cap - at;

		run = size < run ? (uint32_t)size : run;
		memcpy(capture->data + at, data, run);
		capture->total += run;
		data += run;
		size -= run;
	}
}

static bool guest_writes(void *context, int stream, const uint8_t *data, size_t size)
{
	struct proplet_slot *slot = context;
	const struct proplet_os *os = slot->runner->os;
	bool fits = true;

	os->lock(os->ctx);
	if (stream == 1 && !slot->daemon) {
		fits = keep_first(&slot->out, slot->limit, data, size);
	} else {
		keep_newest(stream == 1 ? &slot->out : &slot->err, data, size);
	}
	os->unlock(os->ctx);
	return fits;
}

static int64_t guest_mono(void *context)
{
	const struct proplet_port *port = ((struct proplet_slot *)context)->runner->port;

	return (int64_t)port->mono(port->ctx);
}

static int64_t guest_wall(void *context)
{
	const struct proplet_port *port = ((struct proplet_slot *)context)->runner->port;
	uint64_t ms = 0;

	port->wall(port->ctx, &ms);
	return (int64_t)ms;
}

static bool guest_random(void *context, uint8_t *data, size_t size)
{
	const struct proplet_port *port = ((struct proplet_slot *)context)->runner->port;

	return port->random(port->ctx, data, size) == PROPLET_OK;
}

static void guest_waits(void *context, int64_t ms)
{
	const struct proplet_os *os = ((struct proplet_slot *)context)->runner->os;

	os->wait(os->ctx, ms);
}

static void run_slot(void *arg)
{
	struct proplet_slot *slot = arg;
	struct proplet_runner *runner = slot->runner;

	runner->runtime->run(runner->runtime, &slot->job, &slot->outcome);
	atomic_store(&slot->state, ENDED);
	runner->os->wake(runner->os->ctx);
}

/* -- beginning ----------------------------------------------------------------------------- */

/* A terminated copy in the slot's texts; NULL where they are full or the text holds a NUL. */
static const char *copied(struct proplet_slot *slot, size_t *used, struct proplet_text text)
{
	char *to = slot->texts + *used;

	if (text.len >= slot->texts_size - *used ||
	    (text.len > 0 && memchr(text.at, '\0', text.len) != NULL)) {
		return NULL;
	}
	if (text.len > 0) {
		memcpy(to, text.at, text.len);
	}
	to[text.len] = '\0';
	*used += text.len + 1;
	return to;
}

static const char no_room[] = "its arguments and variables do not fit";

/* Behind the other variables; opened where they stay until the guest has ended. */
static const char *open_secrets(struct proplet_slot *slot, const struct proplet_guest *guest,
				size_t *used, size_t *count)
{
	size_t len;
	int error;

	slot->job.secret = guest->secrets > 0;
	for (unsigned i = 0; i < guest->secrets; i++) {
		char *to = slot->texts + *used;

		error = proplet_guest_secret(guest, i, to, slot->texts_size - *used, &len);
		if (error != PROPLET_OK) {
			return error == PROPLET_FULL ? no_room
						     : "its secrets cannot be opened here";
		}
		slot->words[(*count)++] = to;
		*used += len + 1;
	}
	return NULL;
}

/* NULL, or why they are not there. */
static const char *copy_words(struct proplet_slot *slot, const struct proplet_guest *guest,
			      size_t *used)
{
	struct proplet_job *job = &slot->job;
	struct proplet_text text;
	const char *why;
	size_t count = 0;

	if ((size_t)guest->args + guest->env + guest->secrets > PROPLET_WORDS_MAX) {
		return no_room;
	}
	job->args = slot->words;
	for (unsigned i = 0; i < guest->args && proplet_guest_arg(guest, i, &text); i++) {
		slot->words[count] = copied(slot, used, text);
		if (slot->words[count++] == NULL) {
			return no_room;
		}
	}
	job->args_count = count;
	job->env = slot->words + count;
	for (unsigned i = 0; i < guest->env && proplet_guest_env(guest, i, &text); i++) {
		slot->words[count] = copied(slot, used, text);
		if (slot->words[count++] == NULL) {
			return no_room;
		}
	}
	why = open_secrets(slot, guest, used, &count);
	if (why != NULL) {
		return why;
	}
	job->env_count = count - job->args_count;
	job->name = copied(slot, used, guest->ref);
	job->entrypoint = copied(slot, used, guest->entrypoint);
	job->stdin_data = (const uint8_t *)copied(slot, used, guest->stdin_text);
	job->stdin_size = guest->stdin_text.len;
	return job->name != NULL && job->entrypoint != NULL && job->stdin_data != NULL ? NULL
										      : no_room;
}

static bool read_module(struct proplet_runner *runner, struct proplet_job *job,
			const struct proplet_guest *guest, char *why, size_t cap)
{
	const struct proplet_port *port = runner->port;

	job->module = runner->os->take(runner->os->ctx, guest->module_size);
	if (job->module == NULL) {
		size_t at = proplet_put_text(why, cap, 0, "no memory for its module of ");

		proplet_put_size(why, cap, at, guest->module_size);
		return false;
	}
	job->module_size = guest->module_size;
	if (port->blob_read(port->ctx, guest->module, 0, job->module, guest->module_size) !=
	    PROPLET_OK) {
		runner->os->give(runner->os->ctx, job->module);
		job->module = NULL;
		proplet_put_text(why, cap, 0, "its module cannot be read from storage");
		return false;
	}
	return true;
}

static void fill(struct proplet_slot *slot, const struct proplet_guest *guest)
{
	struct proplet_job *job = &slot->job;

	memset(job, 0, sizeof(*job));
	atomic_init(&job->asked, 0);
	job->memory = guest->memory;
	job->aot = guest->aot;
	job->fuel = guest->fuel == PROPLET_UNLIMITED ? slot->runner->fuel : guest->fuel;
	job->timeout = guest->timeout_ms;
	slot->daemon = guest->daemon;
	slot->limit = guest->output < slot->out.cap ? (uint32_t)guest->output : slot->out.cap;
	slot->out.total = slot->err.total = 0;
	job->output = slot->limit;
	job->context = slot;
	job->write = guest_writes;
	job->now_ms = guest_mono;
	job->wall_ms = guest_wall;
	job->random = guest_random;
	job->wait = guest_waits;
}

static bool begin_lesson(struct proplet_runner *runner, struct proplet_job *job,
			 const struct proplet_guest *guest, char *why, size_t cap)
{
	const struct proplet_lessons *lessons = runner->lessons;

	return lessons != NULL &&
	       lessons->begin(lessons->ctx, guest, &job->lesson, why, cap) == PROPLET_OK;
}

static void end_lesson(struct proplet_runner *runner, struct proplet_job *job,
		       const struct proplet_outcome *outcome, struct proplet_ended *out)
{
	if (job->lesson != NULL) {
		runner->lessons->finish(runner->lessons->ctx, job->lesson, outcome, out);
		job->lesson = NULL;
	}
}

#ifdef PROPLET_POINTS
/* The place of a point among the device's; its count where there is none. */
static size_t place_of(const struct proplet_points *points, struct proplet_text name, bool output)
{
	size_t at = 0;

	while (at < points->count &&
	       (points->list[at].output != output || strlen(points->list[at].name) != name.len ||
		memcmp(points->list[at].name, name.at, name.len) != 0)) {
		at++;
	}
	return at;
}

static bool grant(struct proplet_slot *slot, const struct proplet_guest *guest, size_t *used)
{
	const struct pp_view entry = {guest->entry, guest->entry_len};
	const struct proplet_points *const points = slot->runner->points;
	struct proplet_sense *const sense = &slot->sense;
	struct pp_items items;
	struct pp_view item;

	sense->points = points;
	sense->count = 0;
	atomic_store(&sense->driven, 0);
	if (points == NULL) {
		return true;
	}
	items = pp_items(pp_field(entry, PP_ENTRY_POINTS));
	while (sense->count < PROPLET_GRANTS_MAX && pp_next(&items, &item)) {
		const bool write = pp_has(item, PP_WIRE_POINT_WRITE);
		const size_t at = place_of(
			points, pp_text_in(item, write ? PP_WIRE_POINT_WRITE : PP_WIRE_POINT_READ),
			write);
		const int64_t rate = pp_int(pp_field(item, PP_WIRE_POINT_RATE), 10);
		struct proplet_grant *const one = &sense->grants[sense->count];

		if (at == points->count) {
			continue; /* refused before; a guest is told that there is none */
		}
		one->name = copied(slot, used, pp_text_in(item, PP_WIRE_POINT_NAME));
		if (one->name == NULL) {
			return false;
		}
		one->point = (uint8_t)at;
		one->write = write;
		one->rate = rate < points->list[at].rate ? (uint16_t)rate : points->list[at].rate;
		one->tokens = (int64_t)one->rate * 1000;
		one->at = guest_mono(slot);
		sense->count++;
	}
	slot->job.sense = sense;
	return true;
}

/* What this guest alone drove becomes safe. */
static void release(struct proplet_runner *runner, struct proplet_slot *slot)
{
	unsigned driven = atomic_exchange(&slot->sense.driven, 0);

	for (unsigned i = 0; i < runner->engine.slots; i++) {
		if (atomic_load(&runner->slots[i].state) == RUNS) {
			driven &= ~atomic_load(&runner->slots[i].sense.driven);
		}
	}
	if (driven != 0) {
		proplet_points_rest(runner->points, driven);
	}
}

void proplet_runner_sense(struct proplet_runner *runner, const struct proplet_points *points)
{
	static const char *const ours[] = {"propeller.config_get", "propeller.log",
					   "propeller.now_ms",     "propeller.random",
					   "propeller.point_read", "propeller.point_write"};
	size_t count = 0;

	for (; runner->engine.imports[count] != NULL; count++) {
		runner->offered[count] = runner->engine.imports[count];
	}
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
		runner->offered[count++] = ours[i];
	}
	runner->offered[count] = NULL;
	runner->engine.imports = runner->offered;
	runner->points = points;
	proplet_points_rest(points, ~0U);
}
#endif

/* Nothing of a guest's variables is left behind. */
static void forget_texts(struct proplet_slot *slot)
{
	proplet_wipe(slot->texts, slot->texts_used);
	slot->texts_used = 0;
}

static int begin(struct proplet_runner *runner, struct proplet_slot *slot,
		 const struct proplet_guest *guest, char *why, size_t cap)
{
	const char *wrong;

	if (guest->slot >= runner->engine.slots || atomic_load(&slot->state) != FREE) {
		proplet_put_text(why, cap, 0, "its place is taken");
		return PROPLET_BUSY;
	}
	fill(slot, guest);
	slot->texts_used = 0;
	wrong = copy_words(slot, guest, &slot->texts_used);
	if (wrong != NULL) {
		proplet_put_text(why, cap, 0, wrong);
		return PROPLET_FULL;
	}
#ifdef PROPLET_POINTS
	if (!grant(slot, guest, &slot->texts_used)) {
		proplet_put_text(why, cap, 0, "the names of its points do not fit");
		return PROPLET_FULL;
	}
#endif
	if (!read_module(runner, &slot->job, guest, why, cap)) {
		return PROPLET_FULL;
	}
	if (guest->trains && !begin_lesson(runner, &slot->job, guest, why, cap)) {
		runner->os->give(runner->os->ctx, slot->job.module);
		return PROPLET_FULL;
	}
	atomic_store(&slot->state, RUNS);
	if (!runner->os->spawn(runner->os->ctx, guest->slot, run_slot, slot)) {
		atomic_store(&slot->state, FREE);
		runner->os->give(runner->os->ctx, slot->job.module);
		end_lesson(runner, &slot->job, &slot->outcome, NULL);
		proplet_put_text(why, cap, 0, "no thread could be started");
		return PROPLET_FULL;
	}
	return PROPLET_OK;
}

static int start(void *ctx, const struct proplet_guest *guest, char *why, size_t cap)
{
	struct proplet_runner *runner = ctx;
	struct proplet_slot *slot = &runner->slots[guest->slot];
	int error = begin(runner, slot, guest, why, cap);

	if (error == PROPLET_FULL) { /* busy: what is there is another guest's */
		forget_texts(slot);
	}
	return error;
}

static int check(void *ctx, const struct proplet_guest *guest, char *why, size_t cap)
{
	struct proplet_runner *runner = ctx;
	size_t texts = runner->slots[0].texts_size;

	if ((size_t)guest->args + guest->env + guest->secrets > PROPLET_WORDS_MAX ||
	    guest->entry_len > texts) {
		proplet_put_text(why, cap, 0, "more arguments and variables than fit here");
		return PROPLET_REFUSED;
	}
	if (guest->aot && runner->engine.aot == NULL) {
		proplet_put_text(why, cap, 0, "native code is not run here");
		return PROPLET_REFUSED;
	}
	if (!guest->trains) {
		return PROPLET_OK;
	}
	if (runner->lessons == NULL) {
		proplet_put_text(why, cap, 0, "this proplet takes no part in rounds");
		return PROPLET_REFUSED;
	}
	return runner->lessons->check(runner->lessons->ctx, guest, why, cap);
}

static void stop(void *ctx, uint8_t number)
{
	struct proplet_runner *runner = ctx;

	if (number < runner->engine.slots &&
	    atomic_load(&runner->slots[number].state) == RUNS) {
		runner->runtime->stop(runner->runtime, &runner->slots[number].job,
				      PROPLET_END_STOPPED);
	}
}

/* -- the end ------------------------------------------------------------------------------- */

static bool is_utf8(const uint8_t *data, size_t size)
{
	for (size_t at = 0; at < size;) {
		uint32_t point = data[at];
		unsigned more = point < 0x80 ? 0 : point < 0xE0 ? 1 : point < 0xF0 ? 2 : 3;
		static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};

		if (point >= 0x80 && (point < 0xC2 || point > 0xF4)) {
			return false;
		}
		point &= more == 0 ? 0x7F : 0x3FU >> more;
		if (more >= size - at) {
			return false;
		}
		for (unsigned i = 1; i <= more; i++) {
			if ((data[at + i] & 0xC0) != 0x80) {
				return false;
			}
			point = point << 6 | (data[at + i] & 0x3F);
		}
		if (point < least[more] || point > 0x10FFFF || (point >= 0xD800 && point < 0xE000)) {
			return false;
		}
		at += more + 1;
	}
	return true;
}

bool proplet_keep_blob(const struct proplet_port *port, const uint8_t *data, uint32_t size,
		       struct proplet_ended *out)
{
	struct proplet_hash hash;

	if (port->hash_begin(port->ctx, &hash) != PROPLET_OK ||
	    port->hash_add(port->ctx, &hash, data, size) != PROPLET_OK ||
	    port->hash_end(port->ctx, &hash, out->blob) != PROPLET_OK ||
	    port->blob_write(port->ctx, out->blob, 0, size, data, size) != PROPLET_OK ||
	    port->blob_seal(port->ctx, out->blob, size) != PROPLET_OK) {
		return false;
	}
	out->has_blob = true;
	out->blob_size = size;
	return true;
}

static void tell_error(struct proplet_ended *out, const char *words)
{
	out->error_len = (uint16_t)proplet_put_text(out->error, sizeof(out->error), 0, words);
}

static void tell_result(struct proplet_runner *runner, struct proplet_slot *slot,
			struct proplet_ended *out)
{
	const struct proplet_outcome *outcome = &slot->outcome;
	const uint8_t *data = slot->out.data;
	uint32_t size = slot->out.total;

	if (outcome->end == PROPLET_END_RETURNED && outcome->valued) {
		data = (const uint8_t *)outcome->text;
		size = (uint32_t)strlen(outcome->text);
	}
	if (size <= PROPLET_NOTE && is_utf8(data, size)) {
		memcpy(out->result, data, size);
		out->result_len = (uint16_t)size;
		out->has_result = true;
	} else if (!proplet_keep_blob(runner->port, data, size, out)) {
		out->ok = false;
		tell_error(out, "its result could not be kept: no storage left");
	}
}

static void tell(struct proplet_runner *runner, struct proplet_slot *slot,
		 struct proplet_ended *out)
{
	const struct proplet_outcome *outcome = &slot->outcome;

	out->has_exit = outcome->end == PROPLET_END_RETURNED;
	out->exit = outcome->exit;
	out->ok = out->has_exit && outcome->exit == 0;
	if (!out->ok && out->has_exit) {
		size_t at = proplet_put_text(out->error, sizeof(out->error), 0, "exit ");

		at += proplet_value_write('i', (uint32_t)outcome->exit, out->error + at,
					  sizeof(out->error) - at);
		out->error_len = (uint16_t)at;
	} else if (!out->ok) {
		tell_error(out, outcome->text);
	}
	if (!slot->daemon) {
		tell_result(runner, slot, out);
	}
}

static bool poll(void *ctx, struct proplet_ended *out)
{
	struct proplet_runner *runner = ctx;

	for (uint8_t i = 0; i < runner->engine.slots; i++) {
		struct proplet_slot *slot = &runner->slots[i];

		if (atomic_load(&slot->state) != ENDED) {
			continue;
		}
		runner->os->join(runner->os->ctx, i);
#ifdef PROPLET_POINTS
		release(runner, slot);
#endif
		runner->os->give(runner->os->ctx, slot->job.module);
		slot->job.module = NULL;
		memset(out, 0, sizeof(*out));
		out->slot = i;
		if (slot->job.lesson != NULL) {
			end_lesson(runner, &slot->job, &slot->outcome, out);
		} else {
			tell(runner, slot, out);
		}
		forget_texts(slot);
		atomic_store(&slot->state, FREE);
		return true;
	}
	return false;
}

static size_t log_read(void *ctx, uint8_t number, enum proplet_stream stream, uint32_t off,
		       char *buf, size_t cap, uint32_t *first, uint32_t *end)
{
	struct proplet_runner *runner = ctx;
	struct proplet_slot *slot = &runner->slots[number];
	struct proplet_capture *from = stream == PROPLET_STDERR ? &slot->err : &slot->out;
	size_t count = 0;

	runner->os->lock(runner->os->ctx);
	*end = from->total;
	*first = from->total > from->cap ? from->total - from->cap : 0;
	off = off < *first ? *first : off;
	while (off < *end && count < cap) {
		buf[count++] = (char)from->data[off++ % from->cap];
	}
	runner->os->unlock(runner->os->ctx);
	return count;
}

void proplet_runner_init(struct proplet_runner *runner, struct proplet_runtime *runtime,
			 const struct proplet_port *port, const struct proplet_os *os,
			 struct proplet_slot *slots, uint8_t count, uint64_t memory)
{
	memset(runner, 0, sizeof(*runner));
	runner->runtime = runtime;
	runner->port = port;
	runner->os = os;
	runner->slots = slots;
	runner->fuel = PROPLET_UNLIMITED;
	for (unsigned i = 0; i < count; i++) {
		slots[i].runner = runner;
		atomic_init(&slots[i].state, FREE);
	}
	runner->engine = (struct proplet_engine){.ctx = runner,
						 .name = runtime->name,
						 .version = runtime->version,
						 .slots = count,
						 .memory = memory,
						 .imports = imports_without,
						 .check = check,
						 .start = start,
						 .stop = stop,
						 .poll = poll,
						 .log_read = log_read};
}

void proplet_runner_teach(struct proplet_runner *runner, const struct proplet_lessons *lessons)
{
	runner->lessons = lessons;
	runner->engine.imports = imports;
}

bool proplet_runner_allow_aot(struct proplet_runner *runner)
{
	/* Where every guest has fuel because nothing else could stop it, native code has no place. */
	if (runner->fuel == PROPLET_UNLIMITED) {
		runner->engine.aot = runner->runtime->aot;
	}
	return runner->engine.aot != NULL;
}

bool proplet_runner_busy(struct proplet_runner *runner)
{
	for (unsigned i = 0; i < runner->engine.slots; i++) {
		if (atomic_load(&runner->slots[i].state) == RUNS) {
			return true;
		}
	}
	return false;
}

void proplet_runner_tick(struct proplet_runner *runner)
{
	if (runner->runtime->tick != NULL && proplet_runner_busy(runner)) {
		runner->runtime->tick(runner->runtime);
	}
}
