/* See propeller.h. Answers and words are those of the Linux proplet (proplet/runtime/imports.py and
 * points.py): the same module runs on both. */
#include "propeller.h"

#include <string.h>

#include "calls.h"
#include "points.h"
#include "values.h"

enum { DONE = 0, ABSENT = -1, BEYOND = -2, TOO_FAST = -3, NOTHING = -4 };

#define NAME_MOST 128
#define LOG_MOST 4096
#define RANDOM_MOST 65536

static enum proplet_after answer(struct proplet_call *call, int code)
{
	call->result = (uint32_t)code;
	return PROPLET_GO_ON;
}

static enum proplet_after refuse(struct proplet_call *call, const char *words)
{
	call->job->left = true;
	call->job->why = PROPLET_END_REFUSED;
	proplet_put_text(call->words, PROPLET_TEXT_MAX, 0, words);
	return PROPLET_LEAVE;
}

static enum proplet_after outside(struct proplet_call *call)
{
	return refuse(call, "rejected: an address outside of its memory");
}

/* Whether the guest takes part in a round, which has no clock, chance or world of its own. */
static bool in_a_round(struct proplet_call *call)
{
	if (call->job->lesson != NULL) {
		(void)refuse(call, "needs propeller, which a round does not offer");
	}
	return call->job->lesson != NULL;
}

/* The name in the first two arguments; NULL where the guest is to end. */
static const char *name_of(struct proplet_call *call, size_t *len)
{
	const uint8_t *name;

	*len = arg(call, 1);
	if (in_a_round(call)) {
		return NULL;
	}
	if (*len > NAME_MOST) {
		(void)refuse(call, "a name has at most 128 bytes");
		return NULL;
	}
	name = at(call, arg(call, 0), *len);
	if (name == NULL) {
		(void)outside(call);
	}
	return (const char *)name;
}

enum proplet_after proplet_guest_config(struct proplet_call *call)
{
	const struct proplet_job *const job = call->job;
	const uint32_t most = arg(call, 3);
	size_t len, size, copied;
	const char *const name = name_of(call, &len);
	const char *value = NULL;
	uint8_t *to;

	if (name == NULL) {
		return PROPLET_LEAVE;
	}
	for (size_t i = 0; i < job->env_count; i++) { /* the last one counts, as in a mapping */
		const char *const row = job->env[i];
		const char *const equals = strchr(row, '=');

		if (equals != NULL && (size_t)(equals - row) == len && memcmp(row, name, len) == 0) {
			value = equals + 1;
		}
	}
	if (value == NULL) {
		return answer(call, ABSENT);
	}
	size = strlen(value);
	copied = size < most ? size : most;
	to = at(call, arg(call, 2), copied);
	if (to == NULL) {
		return outside(call);
	}
	memcpy(to, value, copied);
	return answer(call, (int)size);
}

enum proplet_after proplet_guest_log(struct proplet_call *call)
{
	static const char *const levels[] = {"error: ", "warning: ", "info: ", "debug: "};
	struct proplet_job *const job = call->job;
	const uint32_t level = arg(call, 0) < 4 ? arg(call, 0) : 2;
	const uint32_t len = arg(call, 2) < LOG_MOST ? arg(call, 2) : LOG_MOST;
	const uint8_t *const text = at(call, arg(call, 1), len);
	uint32_t from = 0;

	if (in_a_round(call)) {
		return PROPLET_LEAVE;
	}
	if (text == NULL) {
		return outside(call);
	}
	(void)job->write(job->context, 2, (const uint8_t *)levels[level], strlen(levels[level]));
	for (uint32_t i = 0; i <= len; i++) { /* one line, whatever it holds */
		if (i == len || text[i] == '\n') {
			(void)job->write(job->context, 2, text + from, i - from);
			(void)job->write(job->context, 2, (const uint8_t *)(i == len ? "\n" : " "), 1);
			from = i + 1;
		}
	}
	return PROPLET_GO_ON;
}

enum proplet_after proplet_guest_now(struct proplet_call *call)
{
	if (in_a_round(call)) {
		return PROPLET_LEAVE;
	}
	call->result = (uint64_t)call->job->wall_ms(call->job->context);
	return PROPLET_GO_ON;
}

enum proplet_after proplet_guest_random(struct proplet_call *call)
{
	const uint32_t len = arg(call, 1);
	uint8_t *to;

	if (in_a_round(call)) {
		return PROPLET_LEAVE;
	}
	if (len > RANDOM_MOST) {
		return refuse(call, "random gives at most 65536 bytes at a time");
	}
	to = at(call, arg(call, 0), len);
	if (to == NULL) {
		return outside(call);
	}
	if (!call->job->random(call->job->context, to, len)) {
		return refuse(call, "this device has no random bytes");
	}
	return PROPLET_GO_ON;
}

/* -- points ---------------------------------------------------------------------------------- */

/* The grant of that name, if it may be used now: else NULL, and `code` says why. */
static struct proplet_grant *granted(struct proplet_call *call, const char *name, size_t len,
				     bool write, int *code)
{
	struct proplet_sense *const sense = call->job->sense;

	*code = ABSENT;
	for (size_t i = 0; sense != NULL && i < sense->count; i++) {
		struct proplet_grant *const one = &sense->grants[i];
		const int64_t now = call->job->now_ms(call->job->context);
		const int64_t most = (int64_t)one->rate * 1000;

		if (one->write != write || strlen(one->name) != len ||
		    memcmp(one->name, name, len) != 0) {
			continue;
		}
		/* Counted no further than until it is full: a clock's whole life times a rate fits. */
		one->tokens += (now - one->at) * one->rate;
		one->tokens = one->tokens > most ? most : one->tokens;
		one->at = now;
		if (one->tokens < 1000) {
			*code = TOO_FAST;
			return NULL;
		}
		one->tokens -= 1000;
		return one;
	}
	return NULL;
}

static bool finite(double value)
{
	return value - value == 0;
}

enum proplet_after proplet_guest_read(struct proplet_call *call)
{
	size_t len;
	const char *const name = name_of(call, &len);
	const struct proplet_grant *grant;
	const struct proplet_points *points;
	double raw = 0;
	uint64_t bits;
	uint8_t *to;
	int code;

	if (name == NULL) {
		return PROPLET_LEAVE;
	}
	grant = granted(call, name, len, false, &code);
	if (grant == NULL) {
		return answer(call, code);
	}
	to = at(call, arg(call, 2), 8);
	if (to == NULL) {
		return outside(call);
	}
	memset(to, 0, 8);
	points = call->job->sense->points;
	if (!points->read(points->ctx, grant->point, &raw) || !finite(raw)) {
		return answer(call, NOTHING);
	}
	raw = (raw + points->list[grant->point].offset) * points->list[grant->point].scale;
	memcpy(&bits, &raw, sizeof(bits));
	put(to, bits, 8);
	return answer(call, DONE);
}

enum proplet_after proplet_guest_write(struct proplet_call *call)
{
	size_t len;
	const char *const name = name_of(call, &len);
	const struct proplet_grant *grant;
	const struct proplet_points *points;
	const struct proplet_point *point;
	double value;
	int code;

	if (name == NULL) {
		return PROPLET_LEAVE;
	}
	grant = granted(call, name, len, true, &code);
	if (grant == NULL) {
		return answer(call, code);
	}
	points = call->job->sense->points;
	point = &points->list[grant->point];
	memcpy(&value, &call->args[2], sizeof(value));
	if (!(value >= point->low && value <= point->high)) { /* no number either */
		return answer(call, BEYOND);
	}
	atomic_fetch_or(&call->job->sense->driven, 1U << grant->point);
	return answer(call, points->write(points->ctx, grant->point,
					  value / point->scale - point->offset)
				    ? DONE
				    : NOTHING);
}

void proplet_points_rest(const struct proplet_points *points, unsigned which)
{
	for (size_t i = 0; i < points->count; i++) {
		const struct proplet_point *const point = &points->list[i];

		if (point->output && (which >> i & 1) != 0) {
			(void)points->write(points->ctx, i, point->safe / point->scale - point->offset);
		}
	}
}
