/* See imports.h. */
#include "imports.h"

#include <string.h>

#include "calls.h"
#include "decimal.h"
#include "lesson.h"
#include "values.h"

#define STEP_NS 1000000
#define INVAL 28
#define WAITS_MAX 1024
#define RANDOM_MAX (1 << 20)
#define NAME_MAX_FL 128 /* bytes of a name a guest may hand over */
#define VALUE_MAX 128   /* of a parameter that is a number */

static const char outside[] = "rejected: an address outside of its memory";

/* -- leaving --------------------------------------------------------------------------------- */

static enum proplet_after refuse(struct proplet_call *call, const char *words)
{
	call->job->left = true;
	call->job->why = PROPLET_END_REFUSED;
	if (words != call->words) {
		proplet_put_text(call->words, PROPLET_TEXT_MAX, 0, words);
	}
	return PROPLET_LEAVE;
}

static enum proplet_after answer(struct proplet_call *call, uint64_t result)
{
	call->result = result;
	return PROPLET_GO_ON;
}

/* The lesson of the call; NULL where a module that does not train imports this all the same. */
static struct proplet_lesson *lesson_of(struct proplet_call *call)
{
	if (call->job->lesson == NULL) {
		(void)refuse(call, "needs propeller_fl, which only a FederatedTask offers");
	}
	return call->job->lesson;
}

static size_t say(struct proplet_call *call, size_t end, const char *text)
{
	return proplet_put_text(call->words, PROPLET_TEXT_MAX, end, text);
}

static size_t say_number(struct proplet_call *call, size_t end, uint64_t number)
{
	return proplet_put_number(call->words, PROPLET_TEXT_MAX, end, number);
}

/* -- the model ------------------------------------------------------------------------------- */

/* Bytes of the model that the guest may read: a layout without a model is zeros. */
static uint64_t model_bytes(const struct proplet_lesson *lesson)
{
	return lesson->has_count ? 4 * (uint64_t)lesson->count : 0;
}

enum proplet_after proplet_fl_model_len(struct proplet_call *call)
{
	const struct proplet_lesson *const lesson = lesson_of(call);

	return lesson == NULL ? PROPLET_LEAVE : answer(call, model_bytes(lesson));
}

/* The piece of the model that is asked for, in the guest's memory; NULL: the call is refused. */
static uint8_t *piece(struct proplet_call *call, const struct proplet_lesson *lesson,
		      const char *name)
{
	const uint64_t off = arg(call, 0), len = arg(call, 2), have = model_bytes(lesson);
	uint8_t *to;
	size_t end;

	if (off + len > have) {
		end = say(call, say(call, say(call, 0, "rejected: "), name), " of ");
		end = say(call, say_number(call, end, len), " bytes at ");
		end = say(call, say_number(call, end, off), ", the model has ");
		say_number(call, end, have);
		(void)refuse(call, call->words);
		return NULL;
	}
	to = at(call, arg(call, 1), len);
	if (to == NULL) {
		(void)refuse(call, outside);
	}
	return to;
}

enum proplet_after proplet_fl_model_read(struct proplet_call *call)
{
	const struct proplet_lesson *const lesson = lesson_of(call);
	uint8_t *const to = lesson == NULL ? NULL : piece(call, lesson, "model_read");

	if (to == NULL) {
		return PROPLET_LEAVE;
	}
	if (lesson->base == NULL) {
		memset(to, 0, arg(call, 2));
	} else {
		memcpy(to, lesson->base + arg(call, 0), arg(call, 2));
	}
	return PROPLET_GO_ON;
}

/* No strategy with control variates is played here: nothing is added to a gradient. */
enum proplet_after proplet_fl_correction_read(struct proplet_call *call)
{
	const struct proplet_lesson *const lesson = lesson_of(call);
	uint8_t *const to = lesson == NULL ? NULL : piece(call, lesson, "correction_read");

	if (to == NULL) {
		return PROPLET_LEAVE;
	}
	memset(to, 0, arg(call, 2));
	return PROPLET_GO_ON;
}

/* -- data ------------------------------------------------------------------------------------ */

enum proplet_after proplet_fl_data_next(struct proplet_call *call)
{
	struct proplet_lesson *const lesson = lesson_of(call);
	const uint64_t most = arg(call, 1) & 0x7FFFFFFF;
	uint64_t size, left, take;
	const struct proplet_records *records;
	uint8_t *to;

	if (lesson == NULL) {
		return PROPLET_LEAVE;
	}
	records = lesson->school->records;
	size = proplet_record_size(&lesson->shape);
	if (size > 0 && most < size) {
		size_t end = say(call, 0, "rejected: data_next: room for ");

		end = say(call, say_number(call, end, most), " bytes, a record has ");
		say_number(call, end, size);
		return refuse(call, call->words);
	}
	left = size * lesson->shape.records - lesson->next;
	take = size == 0 ? 0 : most - most % size;
	take = take < left ? take : left;
	if (take == 0) {
		lesson->next = 0;
		return at(call, arg(call, 0), 0) == NULL ? refuse(call, outside) : answer(call, 0);
	}
	to = at(call, arg(call, 0), take);
	if (to == NULL) {
		return refuse(call, outside);
	}
	if (records->read(records->ctx, lesson->slot, lesson->next, to, (size_t)take) !=
	    PROPLET_OK) {
		return refuse(call, "its data cannot be read");
	}
	lesson->next += take;
	return answer(call, take);
}

/* -- parameters ------------------------------------------------------------------------------ */

/* Copies the text of the parameter the guest names: 1, 0 where there is none, -1: refused. */
static int param(struct proplet_call *call, const struct proplet_lesson *lesson,
		 char text[VALUE_MAX])
{
	static const char *const own[] = {"data.records", "data.features", "data.labels", "round"};
	const uint64_t numbers[] = {lesson->shape.records, lesson->shape.features,
				    lesson->shape.labels, lesson->update.round};
	const uint32_t len = arg(call, 1);
	struct pp_items items = pp_items(pp_field(lesson->fl, PP_WIRE_TRAINING_PARAMS));
	const uint8_t *name;
	struct pp_view item;

	if (len > NAME_MAX_FL) {
		(void)refuse(call, "rejected: a parameter's name has at most 128 bytes");
		return -1;
	}
	name = at(call, arg(call, 0), len);
	if (name == NULL) {
		(void)refuse(call, outside);
		return -1;
	}
	for (unsigned i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		if (strlen(own[i]) == len && memcmp(own[i], name, len) == 0) {
			(void)proplet_put_number(text, VALUE_MAX, 0, numbers[i]);
			return 1;
		}
	}
	while (pp_next(&items, &item)) {
		const struct proplet_text key = pp_text(item);
		struct proplet_text value;

		if (!pp_next(&items, &item)) {
			break;
		}
		value = pp_text(item);
		if (key.len != len || (len > 0 && memcmp(key.at, name, len) != 0)) {
			continue;
		}
		/* What is longer is no number that anybody means: cut, it is told as it is. */
		text[0] = '\0';
		if (value.len < VALUE_MAX && memchr(value.at, '\0', value.len) == NULL) {
			memcpy(text, value.at, value.len);
			text[value.len] = '\0';
		}
		return 1;
	}
	return 0;
}

static enum proplet_after no_number(struct proplet_call *call, const char *text, const char *what)
{
	char shown[41] = "";

	proplet_put_text(shown, sizeof(shown), 0, text);
	say(call, say(call, say(call, 0, "rejected: a parameter is '"), shown), what);
	return refuse(call, call->words);
}

/* Decimal text as an i64: 1, 0: no whole number, -1: it does not fit. */
static int whole(const char *text, int64_t *value)
{
	const bool minus = *text == '-';
	const uint64_t most = minus ? (uint64_t)1 << 63 : (uint64_t)INT64_MAX;
	uint64_t sum = 0;
	bool above = false;

	text += *text == '-' || *text == '+';
	if (*text == '\0') {
		return 0;
	}
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9') {
			return 0;
		}
		above = above || sum > (most - (uint64_t)(*text - '0')) / 10;
		sum = 10 * sum + (uint64_t)(*text - '0');
	}
	*value = minus ? (int64_t)(0 - sum) : (int64_t)sum;
	return above ? -1 : 1;
}

enum proplet_after proplet_fl_param_i64(struct proplet_call *call)
{
	const struct proplet_lesson *const lesson = lesson_of(call);
	char text[VALUE_MAX];
	const int found = lesson == NULL ? -1 : param(call, lesson, text);
	int64_t value = 0;
	int read;

	if (found <= 0) {
		return found < 0 ? PROPLET_LEAVE : answer(call, call->args[2]);
	}
	read = whole(text, &value);
	if (read < 0) {
		return refuse(call, "rejected: a parameter that does not fit 64 bits");
	}
	return read == 0 ? no_number(call, text, "', not whole") : answer(call, (uint64_t)value);
}

enum proplet_after proplet_fl_param_f64(struct proplet_call *call)
{
	const struct proplet_lesson *const lesson = lesson_of(call);
	char text[VALUE_MAX];
	const int found = lesson == NULL ? -1 : param(call, lesson, text);
	double value;
	uint64_t bits;

	if (found <= 0) {
		return found < 0 ? PROPLET_LEAVE : answer(call, call->args[2]);
	}
	if (!proplet_decimal_read(text, &value)) {
		return no_number(call, text, "', not a number");
	}
	memcpy(&bits, &value, sizeof(bits));
	return answer(call, bits);
}

/* -- chance, metrics, the result --------------------------------------------------------------- */

static bool roll(struct proplet_lesson *lesson, struct pf_dice *dice, uint8_t *to, size_t len)
{
	return pf_dice_take(dice, lesson->school->port, lesson->seed, to, len);
}

enum proplet_after proplet_fl_rand_u64(struct proplet_call *call)
{
	struct proplet_lesson *const lesson = lesson_of(call);
	uint8_t bytes[8];

	if (lesson == NULL) {
		return PROPLET_LEAVE;
	}
	if (!roll(lesson, &lesson->numbers, bytes, sizeof(bytes))) {
		return refuse(call, "this proplet cannot make a hash");
	}
	return answer(call, get(bytes, sizeof(bytes)));
}

enum proplet_after proplet_fl_metric(struct proplet_call *call)
{
	struct proplet_lesson *const lesson = lesson_of(call);
	const uint32_t len = arg(call, 1);
	const uint8_t *name;
	const char *wrong;
	double value;

	if (lesson == NULL) {
		return PROPLET_LEAVE;
	}
	if (len > NAME_MAX_FL) {
		return refuse(call, "rejected: a metric's name is too long");
	}
	name = at(call, arg(call, 0), len);
	if (name == NULL) {
		return refuse(call, outside);
	}
	memcpy(&value, &call->args[2], sizeof(value));
	wrong = pf_metric_tell(&lesson->metrics, name, len, value);
	return wrong == NULL ? PROPLET_GO_ON : refuse(call, wrong);
}

enum proplet_after proplet_fl_steps(struct proplet_call *call)
{
	struct proplet_lesson *const lesson = lesson_of(call);

	if (lesson == NULL) {
		return PROPLET_LEAVE;
	}
	lesson->update.steps = arg(call, 0);
	return PROPLET_GO_ON;
}

enum proplet_after proplet_fl_submit(struct proplet_call *call)
{
	struct proplet_lesson *const lesson = lesson_of(call);
	const uint8_t *data;
	const char *wrong;

	if (lesson == NULL) {
		return PROPLET_LEAVE;
	}
	data = at(call, arg(call, 1), arg(call, 2));
	if (data == NULL) {
		return refuse(call, outside);
	}
	wrong = proplet_lesson_submit(lesson, arg(call, 0), data, arg(call, 2),
				      (int64_t)call->args[3], call->words);
	return wrong == NULL ? PROPLET_GO_ON : refuse(call, wrong);
}

/* -- WASI as a guest that trains sees it ------------------------------------------------------- */

enum proplet_after proplet_fl_time(struct proplet_call *call)
{
	struct proplet_lesson *const lesson = call->job->lesson;
	uint8_t *to;

	if (arg(call, 0) > 3) {
		return answer(call, INVAL);
	}
	to = at(call, arg(call, 2), 8);
	if (to == NULL) {
		return refuse(call, outside);
	}
	put(to, lesson->now, 8);
	lesson->now += STEP_NS;
	return answer(call, 0);
}

enum proplet_after proplet_fl_resolution(struct proplet_call *call)
{
	uint8_t *to;

	if (arg(call, 0) > 3) {
		return answer(call, INVAL);
	}
	to = at(call, arg(call, 1), 8);
	if (to == NULL) {
		return refuse(call, outside);
	}
	put(to, STEP_NS, 8);
	return answer(call, 0);
}

enum proplet_after proplet_fl_random(struct proplet_call *call)
{
	struct proplet_lesson *const lesson = call->job->lesson;
	const uint32_t len = arg(call, 1);
	uint8_t *to;

	if (len > RANDOM_MAX) {
		return answer(call, INVAL);
	}
	to = at(call, arg(call, 0), len);
	if (to == NULL) {
		return refuse(call, outside);
	}
	return roll(lesson, &lesson->bytes, to, len)
		       ? answer(call, 0)
		       : refuse(call, "this proplet cannot make a hash");
}

/* When a timer is due that was set at `now`; it may lie before. */
static uint64_t due_of(uint64_t now, const uint8_t *timer)
{
	const uint64_t timeout = get(timer + 24, 8);
	const bool absolute = (get(timer + 40, 2) & 1) != 0;

	if (absolute) {
		return timeout;
	}
	return timeout > UINT64_MAX - now ? UINT64_MAX : now + timeout;
}

/* Files are ready; else the first timer is, and the time is what it waited for. */
enum proplet_after proplet_fl_poll(struct proplet_call *call)
{
	enum { SUBSCRIPTION = 48, EVENT = 32 };
	struct proplet_lesson *const lesson = call->job->lesson;
	const uint32_t count = arg(call, 2);
	const uint64_t now = lesson->now;
	uint64_t first = UINT64_MAX;
	uint32_t ready = 0;
	const uint8_t *from;
	uint8_t *to, *told;
	bool files = false;

	if (count == 0 || count > WAITS_MAX) {
		return answer(call, INVAL);
	}
	from = at(call, arg(call, 0), SUBSCRIPTION * (uint64_t)count);
	told = at(call, arg(call, 3), 4);
	if (from == NULL || told == NULL) {
		return refuse(call, outside);
	}
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *const one = from + (size_t)SUBSCRIPTION * i;
		const uint64_t due = one[8] != 0 ? UINT64_MAX : due_of(now, one);

		files = files || one[8] != 0;
		first = due < first ? due : first;
	}
	if (!files && first > now) {
		lesson->now = first;
	}
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *const one = from + (size_t)SUBSCRIPTION * i;
		uint8_t event[EVENT] = {0};

		if (files ? one[8] == 0 : due_of(now, one) > lesson->now) {
			continue;
		}
		to = at(call, arg(call, 1) + EVENT * (uint64_t)ready, EVENT);
		if (to == NULL) {
			return refuse(call, outside);
		}
		memcpy(event, one, 8);
		event[10] = one[8];
		memcpy(to, event, EVENT);
		ready++;
	}
	put(told, ready, 4);
	return answer(call, 0);
}
