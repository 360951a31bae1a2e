/*
 * The conversations that every agent must hold (schemas/wire/vectors/agent), held by the C agent:
 * each line is one call, and every effect must be the one that is written down.
 */
#include <stdarg.h>
#include <stdlib.h>

#include "../core/base64.h"
#include "../core/json.h"
#include "harness.h"
#include "proplet/agent.h"

#define RUNS 64
#define STONES 64
#define SLOTS (RUNS + STONES)
#define TIMES 8

static struct pp_agent agent;
static struct pp_run runs[RUNS];
static struct pp_stone stones[STONES];
static struct pp_blob blobs[3 * RUNS];
static uint8_t desired[1 << 16], incoming[1 << 16], scratch[1 << 16], early[3 * 4096], told[1 << 16],
	body[1 << 16], lists[1 << 16], hello[4096], payload[1 << 17];
static char notes[60000], words[4096], root[256], topic_word[64];
static uint8_t stored[SLOTS][2048];
static size_t stored_len[SLOTS];
static struct pp_times times[TIMES];
static uint8_t stored_times[TIMES][2048];
static size_t times_len[TIMES];

static char said[1 << 20];
static size_t said_len;

/* -- writing effects as JSON ---------------------------------------------------------------- */

static void say(const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(said + said_len, sizeof said - said_len, format, args);
	va_end(args);
	said_len += (size_t)len;
	if (said_len >= sizeof said) {
		abort();
	}
}

static void take(void *ctx, const void *data, size_t len)
{
	(void)ctx;
	if (len >= sizeof said - said_len) {
		abort();
	}
	memcpy(said + said_len, data, len);
	said_len += len;
	said[said_len] = 0;
}

static const struct pp_sink out = {take, NULL};

static void say_hex(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		say("%02x", bytes[i]);
	}
}

static void say_digest(const char *key, const uint8_t *digest)
{
	say("\"%s\": \"sha256:", key);
	say_hex(digest, 32);
	say("\"");
}

static void say_uid(const uint8_t *uid)
{
	for (unsigned i = 0; i < 16; i++) {
		say("%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uid[i]);
	}
}

static void say_key(const uint8_t *uid, const uint8_t *run)
{
	say("\"key\": [\"");
	say_uid(uid);
	say("\", \"");
	say_hex(run, 16);
	say("\"]");
}

static void say_text(const char *key, struct proplet_text text)
{
	static const struct pp_kind any = {PP_TEXT, 1, 0, 0, NULL}; /* written, never read: no limit */
	static uint8_t cbor[8192];
	struct pp_out made;

	pp_out_init(&made, cbor, sizeof cbor);
	pp_put_text(&made, text.at, text.len);
	say("\"%s\": ", key);
	pp_json(&any, (struct pp_view){cbor, made.len}, false, 0, out);
}

static void say_base64(const char *key, const uint8_t *data, size_t len)
{
	say("\"%s\": \"", key);
	for (size_t i = 0; i < len; i += 3) {
		char four[4];

		pp_base64_put(four, data + i, len - i < 3 ? len - i : 3);
		take(NULL, four, 4);
	}
	say("\"");
}

static void say_blob(const uint8_t *digest, uint64_t size)
{
	say("\"blob\": {");
	say_digest("digest", digest);
	say(", \"size\": %llu}", (unsigned long long)size);
}

static const char *state_word(unsigned state)
{
	static const char *const names[] = {"Pending",  "Fetching",  "Running", "BackOff",
					    "Stopping", "Succeeded", "Failed",  "Interrupted",
					    "Refused"};

	return names[state];
}

static const char *const modes[] = {"once", "daemon", "serve", "timed"};

static void say_record(const struct pp_record *r)
{
	say("\"record\": {\"uid\": \"");
	say_uid(r->uid);
	say("\", \"run\": \"");
	say_hex(r->run, 16);
	say("\", ");
	say_digest("digest", r->digest);
	say(", ");
	say_text("cause", r->cause);
	say(", \"mode\": \"%s\", \"state\": \"%s\", ", modes[r->mode],
	    state_word(r->state));
	if (r->has_exit) {
		say("\"exit\": %lld, ", (long long)r->exit);
	}
	if (r->has_result) {
		say_text("result", r->result);
		say(", ");
	}
	if (r->has_blob) {
		say("\"resultBlob\": {");
		say_digest("digest", r->blob);
		say(", \"size\": %llu}, ", (unsigned long long)r->blob_size);
	}
	say_text("error", r->error);
	say(", \"starts\": %u, \"failures\": %u, \"started\": %lld, \"ended\": %lld, "
	    "\"tombstone\": %s",
	    r->starts, r->failures, (long long)r->started, (long long)r->ended,
	    r->tombstone ? "true" : "false");
	if (r->spent != 0) {
		say(", \"spent\": %lld", (long long)r->spent);
	}
	say("}");
}

static void save_record(const struct pp_effect *e)
{
	struct pp_out made;
	struct pp_record back;

	pp_out_init(&made, stored[e->slot], sizeof stored[0]);
	pp_record_write(&made, e->record);
	stored_len[e->slot] = made.len;
	CHECK(!made.full && pp_record_read(stored[e->slot], made.len, &back), "a record reads back");
}

/* -- schedules ------------------------------------------------------------------------------ */

#define HEAD 91 /* bytes of a schedule's record before its results */

static void say_past(struct pp_view past)
{
	struct pp_view blob = pp_field(past, PP_PAST_RUN_RESULT_BLOB);
	size_t len;

	say("{\"slot\": %lld, \"state\": \"%s\", \"attempt\": %lld, ",
	    (long long)pp_int_in(past, PP_PAST_RUN_SLOT),
	    state_word((unsigned)pp_int_in(past, PP_PAST_RUN_STATE)),
	    (long long)pp_int(pp_field(past, PP_PAST_RUN_ATTEMPT), 1));
	if (pp_has(past, PP_PAST_RUN_EXIT)) {
		say("\"exit\": %lld, ", (long long)pp_int_in(past, PP_PAST_RUN_EXIT));
	}
	if (pp_has(past, PP_PAST_RUN_RESULT)) {
		say_text("result", pp_text_in(past, PP_PAST_RUN_RESULT));
		say(", ");
	}
	if (blob.at != NULL) {
		say("\"resultBlob\": {");
		say_digest("digest", pp_bytes_in(blob, PP_BLOB_REF_DIGEST, &len));
		say(", \"size\": %lld}, ", (long long)pp_int_in(blob, PP_BLOB_REF_SIZE));
	}
	say_text("error", pp_text_in(past, PP_PAST_RUN_ERROR));
	say(", \"started\": %lld, \"ended\": %lld}",
	    (long long)pp_int_in(past, PP_PAST_RUN_STARTED),
	    (long long)pp_int_in(past, PP_PAST_RUN_ENDED));
}

static void save_times(const struct pp_effect *e)
{
	const struct pp_times *const t = e->times;
	struct pp_items past;
	struct pp_view one;
	bool first = true;

	times_len[e->slot] = 0;
	say("\"do\": \"saveTimes\", ");
	say_key(e->uid, e->run_id);
	if (e->data == NULL) {
		return;
	}
	memcpy(stored_times[e->slot], e->data, e->len);
	times_len[e->slot] = e->len;
	say(", \"times\": {\"began\": %lld, \"last\": %lld, \"attempt\": %u, \"due\": %lld, "
	    "\"lost\": %u, ",
	    (long long)t->began, (long long)t->last, t->attempt, (long long)t->due, t->lost);
	if (t->running) {
		say("\"running\": {\"slot\": %lld, \"state\": \"Running\", \"attempt\": %u, "
		    "\"error\": \"\", \"started\": %lld, \"ended\": 0}, ",
		    (long long)t->slot, t->slot_attempt, (long long)t->started);
	}
	say("\"past\": [");
	past = (struct pp_items){e->data + HEAD, e->data + e->len, t->past};
	while (pp_next(&past, &one)) {
		say("%s", first ? "" : ", ");
		say_past(one);
		first = false;
	}
	say("]}");
}

/* What a time of a schedule is begun with: the entry of a run of its own. */
static void say_child(const struct pp_effect *e)
{
	static uint8_t made[1 << 16];
	const struct pp_view entry = {e->run->entry, e->run->entry_len};
	struct pp_items items = pp_items(entry);
	struct pp_view key, value;
	struct pp_out child;
	char cause[40] = "";

	for (unsigned i = 0; i < TIMES; i++) {
		if (times[i].used && memcmp(times[i].child, e->run_id, 16) == 0) {
			snprintf(cause, sizeof cause, "cron:%lld", (long long)times[i].slot);
		}
	}
	pp_out_init(&child, made, sizeof made);
	pp_put_map(&child, pp_count(entry) - 1);
	while (pp_next(&items, &key) && pp_next(&items, &value)) {
		const int64_t number = pp_int(key, -1);

		if (number == PP_ENTRY_SCHEDULE) {
			continue;
		}
		pp_put_raw(&child, key.at, key.len);
		if (number == PP_ENTRY_RUN) {
			pp_put_bytes(&child, e->run_id, 16);
		} else if (number == PP_ENTRY_CAUSE) {
			pp_put_text(&child, cause, strlen(cause));
		} else if (number == PP_ENTRY_MODE) {
			pp_put_int(&child, PP_ENTRY_MODE_ONCE);
		} else {
			pp_put_raw(&child, value.at, value.len);
		}
	}
	pp_json_shape(&pp_shape_entry, (struct pp_view){made, child.len}, false, 0, out);
}

static int load_times(void *ctx, uint16_t slot, uint8_t *buf, size_t cap, size_t *len)
{
	(void)ctx;
	if (slot >= TIMES || times_len[slot] == 0) {
		return PROPLET_MISSING;
	}
	if (times_len[slot] > cap) {
		return PROPLET_FULL;
	}
	memcpy(buf, stored_times[slot], times_len[slot]);
	*len = times_len[slot];
	return PROPLET_OK;
}

static int by_bytes(const void *one, const void *other)
{
	return memcmp(one, other, 32);
}

static void say_in_use(void)
{
	static uint8_t all[512][32];
	size_t count = 0;
	bool first = true;

	for (size_t i = 0; i < agent.run_count; i++) {
		memcpy(all[count++], runs[i].plan.module, 32);
		for (unsigned j = 0; j < runs[i].plan.inputs; j++) {
			memcpy(all[count++], runs[i].plan.input[j], 32);
		}
	}
	for (unsigned i = 0; i < agent.model_count; i++) {
		memcpy(all[count++], agent.models[i], 32);
	}
	for (unsigned i = 0; i < agent.upload_count; i++) {
		memcpy(all[count++], agent.uploads[i].digest, 32);
	}
	memcpy(all[count++], agent.incoming.body, 32);
	qsort(all, count, 32, by_bytes);
	say("\"digests\": [");
	for (size_t i = 0; i < count; i++) {
		if ((i > 0 && memcmp(all[i], all[i - 1], 32) == 0) || !pp_agent_uses(&agent, all[i])) {
			continue;
		}
		say("%s\"sha256:", first ? "" : ", ");
		say_hex(all[i], 32);
		say("\"");
		first = false;
	}
	say("]");
}

static void keep_take(void *ctx, const void *data, size_t len)
{
	struct pp_out *const made = ctx;

	pp_put_raw(made, data, len);
}

static int effect(void *ctx, const struct pp_effect *e)
{
	static const char *const streams[] = {"both", "stdout", "stderr"};
	static uint8_t kept[1 << 17];
	struct pp_out made;

	(void)ctx;
	if (e->what == PP_DO_SAY) {
		return PROPLET_OK;
	}
	say("%s{", said_len > 1 ? ", " : "");
	switch (e->what) {
	case PP_DO_SAVE_DESIRED:
		say("\"do\": \"saveDesired\", \"observed\": {\"fence\": %lld, \"gen\": %lld, ",
		    (long long)e->observed->fence, (long long)e->observed->gen);
		say_digest("digest", e->observed->digest);
		say("}, \"iat\": %lld, \"entries\": ", (long long)e->iat);
		pp_json(&pp_kind_tasks, e->list, false, 0, out);
		break;
	case PP_DO_SAVE_RUN:
		save_record(e);
		say("\"do\": \"saveRun\", ");
		say_record(e->record);
		break;
	case PP_DO_DROP_RUN:
		if (e->slot < SLOTS) {
			stored_len[e->slot] = 0;
		}
		say("\"do\": \"dropRun\", ");
		say_key(e->uid, e->run_id);
		break;
	case PP_DO_SAVE_TRUST:
		say("\"do\": \"saveTrust\", ");
		say_base64("frame", e->data, e->len);
		break;
	case PP_DO_SAVE_RELEASES:
		say("\"do\": \"saveReleases\", ");
		say_base64("frame", e->data, e->len);
		say(", \"held\": [");
		for (size_t i = 0; i < e->size; i++) {
			say(i == 0 ? "\"sha256:" : ", \"sha256:");
			say_hex(e->digest + 32 * i, 32);
			say("\"");
		}
		say("]");
		break;
	case PP_DO_SAVE_UPLOAD:
		say("\"do\": \"saveUpload\", ");
		say_blob(e->digest, e->size);
		break;
	case PP_DO_DROP_UPLOAD:
		say("\"do\": \"dropUpload\", ");
		say_digest("digest", e->digest);
		break;
	case PP_DO_SAVE_TIMES:
		save_times(e);
		break;
	case PP_DO_SAVE_SILENCE:
		say("\"do\": \"saveSilence\", \"silence\": {\"word\": %lld, \"elapsed\": %lld}",
		    (long long)e->iat, (long long)e->at);
		break;
	case PP_DO_SUBSCRIBE:
		say("\"do\": \"subscribe\", \"topics\": [");
		for (unsigned i = 0; i < e->topic_count; i++) {
			say("%s\"%s\"", i > 0 ? ", " : "", pp_topic_word(e->topics[i]));
		}
		say("], \"again\": %s", e->again ? "true" : "false");
		break;
	case PP_DO_PUBLISH:
		say("\"do\": \"publish\", \"message\": \"%s\", \"retain\": %s, \"body\": ",
		    e->shape->name, e->retain ? "true" : "false");
		CHECK(pp_cbor_check(e->data, e->len) == PP_TAKEN, "%s", e->shape->name);
		pp_json_shape(e->shape, (struct pp_view){e->data, e->len}, false, 0, out);
		/* What leaves must be what the other side's table says, in its one spelling. */
		pp_out_init(&made, kept, sizeof kept);
		CHECK(pp_read(e->shape, e->data, e->len, &made) == PP_TAKEN && made.len == e->len &&
			      memcmp(kept, e->data, e->len) == 0,
		      "%s", e->shape->name);
		break;
	case PP_DO_SEND_CHUNK:
		say("\"do\": \"sendChunk\", ");
		say_digest("digest", e->digest);
		say(", \"off\": %llu, \"length\": %zu, \"total\": %llu", (unsigned long long)e->off,
		    e->len, (unsigned long long)e->total);
		break;
	case PP_DO_FETCH:
		say("\"do\": \"fetch\", ");
		say_digest("digest", e->digest);
		say(", \"size\": %llu, \"purpose\": \"%s\"", (unsigned long long)e->size,
		    e->body ? "body" : "module");
		break;
	case PP_DO_WRITE_CHUNK:
		say("\"do\": \"writeChunk\", ");
		say_digest("digest", e->digest);
		say(", \"off\": %llu, \"total\": %llu, ", (unsigned long long)e->off,
		    (unsigned long long)e->total);
		say_base64("data", e->data, e->len);
		break;
	case PP_DO_KEEP_BLOB:
		pp_out_init(&made, kept, sizeof kept);
		pp_agent_inventory(&agent, (struct pp_sink){keep_take, &made});
		CHECK(made.len == e->size, "the size of an inventory");
		say("\"do\": \"keepBlob\", ");
		say_blob(e->digest, e->size);
		say(", ");
		say_base64("data", kept, made.len);
		break;
	case PP_DO_FREE_BLOB:
		say("\"do\": \"freeBlob\", ");
		say_digest("digest", e->digest);
		break;
	case PP_DO_IN_USE:
		say("\"do\": \"inUse\", ");
		say_in_use();
		break;
	case PP_DO_PREPARE:
	case PP_DO_START:
		say("\"do\": \"%s\", \"entry\": ", e->what == PP_DO_START ? "start" : "prepare");
		if (e->what == PP_DO_START && e->run->mode == PP_ENTRY_MODE_TIMED) {
			say_child(e);
		} else {
			pp_json_shape(&pp_shape_entry,
				      (struct pp_view){e->run->entry, e->run->entry_len}, false, 0,
				      out);
		}
		if (e->what == PP_DO_START) {
			say(", \"restarts\": %u", e->restarts);
		}
		break;
	case PP_DO_STOP:
		say("\"do\": \"stop\", ");
		say_key(e->run->uid, e->run_id);
		say(", \"grace\": %lld", (long long)e->grace);
		break;
	case PP_DO_FORGET_RUN:
		say("\"do\": \"forgetRun\", ");
		say_key(e->uid, e->run_id);
		break;
	case PP_DO_TAIL_LOG:
		say("\"do\": \"tailLog\", \"op\": \"%s\", ", e->op);
		say_key(e->uid, e->run_id);
		say(", \"stream\": \"%s\", \"tail\": %lld, \"follow\": %lld", streams[e->stream],
		    (long long)e->tail, (long long)e->follow);
		break;
	case PP_DO_WAKE:
		say("\"do\": \"wake\", \"at\": %lld", (long long)e->at);
		break;
	case PP_DO_QUIT:
		say("\"do\": \"quit\"");
		break;
	case PP_DO_SAY:
		break;
	}
	say("}");
	return PROPLET_OK;
}

static int64_t chance(void *ctx, int64_t low, int64_t high)
{
	(void)ctx;
	CHECK(low <= high, "%lld..%lld", (long long)low, (long long)high);
	return low;
}

static int load_run(void *ctx, uint16_t slot, uint8_t *buf, size_t cap, size_t *len)
{
	(void)ctx;
	if (slot >= SLOTS || stored_len[slot] == 0) {
		return PROPLET_MISSING;
	}
	if (stored_len[slot] > cap) {
		return PROPLET_FULL;
	}
	memcpy(buf, stored[slot], stored_len[slot]);
	*len = stored_len[slot];
	return PROPLET_OK;
}

/* -- reading lines -------------------------------------------------------------------------- */

static void digest_from(json text, uint8_t digest[32])
{
	char spelled[80];

	memset(digest, 0, 32);
	if (json_text(text, spelled, sizeof spelled) == 71) {
		for (unsigned i = 0; i < 32; i++) {
			unsigned byte;

			sscanf(spelled + 7 + 2 * i, "%2x", &byte);
			digest[i] = (uint8_t)byte;
		}
	}
}

static void hex_from(json text, uint8_t bytes[16])
{
	char spelled[80];
	unsigned at = 0;

	json_text(text, spelled, sizeof spelled);
	for (const char *c = spelled; *c != 0 && at < 16; c += 2) {
		unsigned byte;

		c += *c == '-';
		sscanf(c, "%2x", &byte);
		bytes[at++] = (uint8_t)byte;
	}
}

static size_t copy_value(json value, uint8_t *to, size_t cap)
{
	const size_t len = (size_t)(pp_json_skip(value, json_end) - value);

	if (len > cap) {
		abort();
	}
	memcpy(to, value, len);
	return len;
}

static size_t read_hello(json head, int64_t boot)
{
	static uint8_t raw[8192];
	const size_t len = copy_value(json_get(head, "hello"), raw, sizeof raw);
	struct pp_items items;
	struct pp_view key, value, map;
	struct pp_out made;

	pp_out_init(&made, payload, sizeof payload);
	CHECK(pp_read(&pp_shape_hello, raw, len, &made) == PP_TAKEN, "the hello");
	map = (struct pp_view){payload, made.len};
	pp_out_init(&made, hello, sizeof hello);
	pp_put_map(&made, pp_count(map));
	items = pp_items(map);
	while (pp_next(&items, &key) && pp_next(&items, &value)) {
		pp_put_raw(&made, key.at, key.len);
		if (pp_int(key, -1) == PP_HELLO_BOOT) {
			pp_put_int(&made, boot);
		} else {
			pp_put_raw(&made, value.at, value.len);
		}
	}
	return made.len;
}

static int word_index(json word, const char *(*word_of)(unsigned), unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (pp_json_is(word, word_of(i))) {
			return (int)i;
		}
	}
	return -1;
}

static void store_run(json run, unsigned slot)
{
	static uint8_t uid[16], id[16], digest[32], blob[32];
	static char cause[80], error[300], result[300];
	struct pp_record r = {.uid = uid, .run = id, .digest = digest, .blob = blob};
	struct pp_out made;
	json found;

	hex_from(json_get(run, "uid"), uid);
	hex_from(json_get(run, "run"), id);
	digest_from(json_get(run, "digest"), digest);
	r.cause = (struct proplet_text){cause, json_text(json_get(run, "cause"), cause, sizeof cause)};
	r.error = (struct proplet_text){error, json_text(json_get(run, "error"), error, sizeof error)};
	while (!pp_json_is(json_get(run, "mode"), modes[r.mode])) {
		r.mode++;
	}
	r.state = (uint8_t)word_index(json_get(run, "state"), state_word, 9);
	if ((found = json_get(run, "exit")) != NULL) {
		r.has_exit = true;
		r.exit = json_number(found);
	}
	if ((found = json_get(run, "result")) != NULL) {
		r.has_result = true;
		r.result = (struct proplet_text){result, json_text(found, result, sizeof result)};
	}
	if ((found = json_get(run, "resultBlob")) != NULL) {
		r.has_blob = true;
		digest_from(json_get(found, "digest"), blob);
		r.blob_size = (uint64_t)json_number(json_get(found, "size"));
	}
	r.starts = (uint32_t)json_number(json_get(run, "starts"));
	r.failures = (uint32_t)json_number(json_get(run, "failures"));
	r.started = json_number(json_get(run, "started"));
	r.ended = json_number(json_get(run, "ended"));
	r.tombstone = json_true(json_get(run, "tombstone"));
	r.order = slot;
	if ((found = json_get(run, "spent")) != NULL) {
		r.spent = json_number(found);
	}
	pp_out_init(&made, stored[slot], sizeof stored[0]);
	pp_record_write(&made, &r);
	stored_len[slot] = made.len;
}

/* A schedule's record, made of what is written down. */
static void store_times(json one, unsigned slot)
{
	static uint8_t items[2048];
	struct pp_times t = {.used = true};
	json key = json_first(one), told_of = json_next(key), found;
	struct pp_out made;

	hex_from(json_first(key), t.uid);
	hex_from(json_next(json_first(key)), t.run);
	t.began = json_number(json_get(told_of, "began"));
	t.last = json_number(json_get(told_of, "last"));
	t.due = json_number(json_get(told_of, "due"));
	t.attempt = (uint32_t)json_number(json_get(told_of, "attempt"));
	t.lost = (uint32_t)json_number(json_get(told_of, "lost"));
	if ((found = json_get(told_of, "running")) != NULL) {
		t.running = true;
		t.slot = json_number(json_get(found, "slot"));
		t.slot_attempt = (uint32_t)json_number(json_get(found, "attempt"));
		t.started = json_number(json_get(found, "started"));
	}
	pp_out_init(&made, items, sizeof items);
	for (json past = json_first(json_get(told_of, "past")); past != NULL;
	     past = json_next(past)) {
		struct pp_out item;

		pp_out_init(&item, items + made.len, sizeof items - made.len);
		CHECK(pp_read(&pp_shape_past_run, past,
			      (size_t)(pp_json_skip(past, json_end) - past), &item) == PP_TAKEN,
		      "a stored result");
		made.len += item.len;
		t.past++;
	}
	times_len[slot] = pp_times_write(&t, items, made.len, stored_times[slot]);
}

static void boot(json head, json line, struct pp_now now)
{
	static const struct pp_shell shell = {NULL, effect, chance, load_run, load_times, NULL};
	static struct proplet_port port;
	static uint8_t trust[1 << 16];
	json on_disk = json_get(line, "stored"), config = json_get(head, "config"), found;
	const struct proplet_memory memory = {
		.desired = desired, .incoming = incoming, .document = sizeof desired,
		.scratch = scratch, .scratch_size = sizeof scratch,
		.notes = notes, .notes_size = sizeof notes,
		.runs = runs, .run_count = RUNS, .stones = stones, .stone_count = STONES,
		.times = times, .times_count = TIMES,
		.blobs = blobs, .blob_count = 3 * RUNS,
		.early = early, .early_size = sizeof early, .told = told, .told_size = sizeof told,
		.body = body, .body_size = sizeof body,
		.releases = lists, .releases_size = sizeof lists,
	};
	struct pp_agent_config made = {
		.hello = hello,
		.hello_len = read_hello(head, json_number(json_get(line, "boot"))),
		.root = root,
		.chunk = (uint32_t)json_number(json_get(config, "chunk")),
		.grace = json_number(json_get(config, "grace")),
		.debounce = json_number(json_get(config, "debounce")),
		.max_desired = 4 << 20,
		.max_entries = RUNS,
		.window = 4,
	};
	struct pp_stored stored_now = {.trust = trust};
	struct pp_out list;
	unsigned slot = 0;
	size_t len;

	json_text(json_get(head, "root"), root, sizeof root);
	crypto_port(&port, NULL);
	CHECK(pp_agent_init(&agent, &made, &memory, &shell, &port) == PP_TAKEN, "init");
	memset(stored_len, 0, sizeof stored_len);
	memset(times_len, 0, sizeof times_len);
	for (json run = json_first(json_get(on_disk, "runs")); run != NULL; run = json_next(run)) {
		store_run(run, slot++);
	}
	slot = 0;
	for (json one = json_first(json_get(on_disk, "times")); one != NULL; one = json_next(one)) {
		store_times(one, slot++);
	}
	found = json_get(on_disk, "observed");
	stored_now.observed.fence = json_number(json_get(found, "fence"));
	stored_now.observed.gen = json_number(json_get(found, "gen"));
	stored_now.observed.has_digest = !pp_json_is(json_get(found, "digest"), "");
	digest_from(json_get(found, "digest"), stored_now.observed.digest);
	stored_now.iat = json_number(json_get(on_disk, "iat"));
	len = copy_value(json_get(on_disk, "entries"), payload, sizeof payload);
	pp_out_init(&list, desired, sizeof desired);
	CHECK(pp_read_list(&pp_kind_tasks, payload, len, &list) == PP_TAKEN, "stored entries");
	stored_now.entries_len = list.len;
	stored_now.trust_len = json_base64(json_get(on_disk, "trust"), trust, sizeof trust);
	if (json_get(on_disk, "releases") != NULL) {
		stored_now.releases_len = json_base64(json_get(on_disk, "releases"),
						      lists + 32 * RUNS, sizeof lists - 32 * RUNS);
		for (json one = json_first(json_get(on_disk, "held")); one != NULL;
		     one = json_next(one)) {
			digest_from(one, lists + 32 * stored_now.held++);
		}
	}
	if ((found = json_get(on_disk, "silence")) != NULL) {
		stored_now.has_silence = true;
		stored_now.word = json_number(json_get(found, "word"));
		stored_now.silence = json_number(json_get(found, "elapsed"));
	}
	for (json one = json_first(json_get(on_disk, "uploads")); one != NULL; one = json_next(one)) {
		digest_from(json_get(one, "digest"),
			    stored_now.uploads[stored_now.upload_count].digest);
		stored_now.uploads[stored_now.upload_count].size =
			(uint64_t)json_number(json_get(one, "size"));
		stored_now.upload_count++;
	}
	pp_agent_boot(&agent, &stored_now, now);
}

static const char *topic_of(unsigned topic)
{
	return pp_topic_word((enum pp_topic)topic);
}

static void hear(json line, struct pp_now now)
{
	const int topic = word_index(json_get(line, "topic"), topic_of, PP_TOPICS);
	const size_t len = json_base64(json_get(line, "payload"), payload, sizeof payload);
	uint8_t *const exact = malloc(len + 1); /* so that reading past its end is seen */

	memcpy(exact, payload, len);
	pp_agent_hear(&agent, (enum pp_topic)topic, exact, len, now);
	free(exact);
}

static void ended(json line, const uint8_t *uid, const uint8_t *run, struct pp_now now)
{
	json told_of = json_get(line, "outcome"), found;
	static char result[300], error[300];
	struct pp_outcome outcome = {.ok = json_true(json_get(told_of, "ok"))};

	if ((found = json_get(told_of, "exit")) != NULL) {
		outcome.has_exit = true;
		outcome.exit = json_number(found);
	}
	if ((found = json_get(told_of, "result")) != NULL) {
		outcome.has_result = true;
		outcome.result = (struct proplet_text){result, json_text(found, result, sizeof result)};
	}
	if ((found = json_get(told_of, "error")) != NULL) {
		outcome.error = (struct proplet_text){error, json_text(found, error, sizeof error)};
	}
	if ((found = json_get(told_of, "blob")) != NULL) {
		outcome.has_blob = true;
		digest_from(json_get(found, "digest"), outcome.blob);
		outcome.blob_size = (uint64_t)json_number(json_get(found, "size"));
	}
	pp_agent_ended(&agent, uid, run, &outcome, now);
}

static void log_piece(json line, struct pp_now now)
{
	static const char *const streams[] = {"", "stdout", "stderr"};
	char op[80];
	uint8_t stream = 0;
	struct proplet_text text = {words,
				    json_text(json_get(line, "text"), words, sizeof words)};

	json_text(json_get(line, "op"), op, sizeof op);
	while (stream < 2 && !pp_json_is(json_get(line, "stream"), streams[stream])) {
		stream++;
	}
	pp_agent_log_piece(&agent, op, stream, text, json_number(json_get(line, "dropped")),
			   json_true(json_get(line, "last")), now);
}

static void call(json head, json line)
{
	const struct pp_now now = {json_number(json_get(line, "mono")),
				   json_number(json_get(line, "wall")),
				   json_true(json_get(line, "synced"))};
	uint8_t uid[16], run[16], digest[32];
	json what = json_get(line, "in"), found;

	if (json_get(line, "uid") != NULL) {
		hex_from(json_get(line, "uid"), uid);
		hex_from(json_get(line, "run"), run);
	}
	if ((found = json_get(line, "digest")) != NULL) {
		digest_from(found, digest);
	}
	if ((found = json_get(line, "words")) != NULL) {
		json_text(found, words, sizeof words);
	}
	json_text(what, topic_word, sizeof topic_word);
	if (pp_json_is(what, "boot")) {
		boot(head, line, now);
	} else if (pp_json_is(what, "connected")) {
		pp_agent_connected(&agent, json_number(json_get(line, "conn")), now);
	} else if (pp_json_is(what, "disconnected")) {
		pp_agent_disconnected(&agent, now);
	} else if (pp_json_is(what, "hear")) {
		hear(line, now);
	} else if (pp_json_is(what, "tick")) {
		pp_agent_tick(&agent, now);
	} else if (pp_json_is(what, "drain")) {
		pp_agent_drain(&agent, now);
	} else if (pp_json_is(what, "fetched")) {
		found = json_get(line, "data");
		if (found != NULL) {
			const size_t len = json_base64(found, body, sizeof body);

			pp_agent_fetched(&agent, digest, body, len, now);
		} else {
			pp_agent_fetched(&agent, digest, NULL, 0, now);
		}
	} else if (pp_json_is(what, "fetchFrom")) {
		pp_agent_fetch_from(&agent, digest, (uint64_t)json_number(json_get(line, "size")),
				    (uint64_t)json_number(json_get(line, "have")), now);
	} else if (pp_json_is(what, "fetchFailed")) {
		pp_agent_fetch_failed(&agent, digest, words, now);
	} else if (pp_json_is(what, "prepared")) {
		pp_agent_prepared(&agent, uid, run, digest, now);
	} else if (pp_json_is(what, "unfit")) {
		pp_agent_unfit(&agent, uid, run, digest, words, now);
	} else if (pp_json_is(what, "ended")) {
		ended(line, uid, run, now);
	} else if (pp_json_is(what, "uploadLost")) {
		pp_agent_upload_lost(&agent, digest, now);
	} else if (pp_json_is(what, "untold")) {
		pp_agent_untold(&agent, now);
	} else if (pp_json_is(what, "logPiece")) {
		log_piece(line, now);
	} else {
		CHECK(false, "%s is no call of an agent", topic_word);
	}
}

int main(int argc, char **argv)
{
	const char *const folder = argc > 1 ? argv[1] : "schemas/wire/vectors/agent";

	for (int i = 2; i < argc; i++) {
		json head = json_file(folder, argv[i]);
		unsigned number = 0;

		for (json line = json_first(json_get(head, "lines")); line != NULL;
		     line = json_next(line), number++) {
			const unsigned before = harness_failures;

			said_len = 0;
			say("[");
			call(head, line);
			say("]");
			CHECK(json_same(json_get(line, "effects"), json_end, (const uint8_t *)said,
					(const uint8_t *)said + said_len),
			      "%s, line %u: %s\n  said %.3000s\n  not  %.*s", argv[i], number, topic_word,
			      said,
			      (int)(pp_json_skip(json_get(line, "effects"), json_end) -
					    json_get(line, "effects") >
				    3000
					    ? 3000
					    : pp_json_skip(json_get(line, "effects"), json_end) -
						      json_get(line, "effects")),
			      (const char *)json_get(line, "effects"));
			if (harness_failures > before + 2 || harness_failures > 8) {
				break;
			}
		}
		CHECK(number > 3, "%s has lines", argv[i]);
	}
	return harness_end("conversation");
}
