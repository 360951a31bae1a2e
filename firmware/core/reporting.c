/*
 * When the inventory is told and in which form. The twin of proplet/reporting.py: a change waits for
 * others, heartbeats name the inventory by its digest, a list too long for a message is a blob.
 */
#include "inside.h"

#define LARGEST 8192
#define QUIET 4
#define REFUSAL_EVERY 10000
#define HELLO_EVERY 10

void pp_reporting_init(struct pp_agent *a)
{
	a->report.due = a->report.early = -1;
}

void pp_reporting_mark(struct pp_agent *a, struct pp_now now)
{
	if (a->report.due < 0) {
		a->report.due = pp_max(now.mono + a->config.debounce, a->report.not_before);
	}
	a->report.early = -1;
}

void pp_reporting_settled(struct pp_agent *a, struct pp_now now)
{
	if (a->report.due >= 0 && a->report.early < 0) {
		a->report.early = pp_max(now.mono + QUIET, a->report.not_before);
	}
}

void pp_reporting_at_once(struct pp_agent *a, struct pp_now now)
{
	a->report.due = a->report.early = now.mono;
}

void pp_reporting_again(struct pp_agent *a, struct pp_now now)
{
	a->report.due = a->report.early = a->report.not_before = now.mono + 1000;
}

static bool same_refused(const struct pp_refused *one, const struct pp_refused *other)
{
	if (one->reason == NULL || other->reason == NULL) {
		return one->reason == other->reason;
	}
	return one->fence == other->fence && one->gen == other->gen &&
	       one->has_digest == other->has_digest &&
	       memcmp(one->digest, other->digest, 32) == 0 &&
	       strcmp(one->reason, other->reason) == 0;
}

bool pp_reporting_refuse(struct pp_agent *a, const struct pp_refused *refused, struct pp_now now)
{
	if (same_refused(refused, &a->report.refused) &&
	    now.mono - a->report.refused_at < REFUSAL_EVERY) {
		return false;
	}
	a->report.refused = *refused;
	a->report.refused_at = now.mono;
	pp_reporting_mark(a, now);
	return true;
}

static int64_t full_at(const struct pp_agent *a)
{
	if (a->report.due < 0 || a->report.early < 0) {
		return a->report.due;
	}
	return pp_min(a->report.due, a->report.early);
}

int64_t pp_reporting_due(const struct pp_agent *a)
{
	int64_t due = a->report.told + a->heartbeat;

	if (full_at(a) >= 0) {
		due = pp_min(due, full_at(a));
	}
	if (a->report.repeat_count > 0) {
		due = pp_min(due, a->report.repeats[0]);
	}
	return due;
}

/* -- the inventory ------------------------------------------------------------------------------ */

/* One run after the other, each put together in the scratch. */
void pp_agent_inventory(struct pp_agent *a, struct pp_sink sink)
{
	const struct pp_run *run = NULL;
	struct pp_out out;

	sink.take(sink.ctx, "[", 1);
	while ((run = pp_runs_after(a, run)) != NULL) {
		pp_message_begin(a, &out);
		pp_run_report(a, run, &out);
		pp_json_shape(&pp_shape_run_report, (struct pp_view){out.at, out.len}, true, 0, sink);
		sink.take(sink.ctx, ",", pp_runs_after(a, run) != NULL ? 1 : 0);
	}
	sink.take(sink.ctx, "]", 1);
}

/* Its digest, which is that of the blob as well, and its length. */
static PP_APART uint64_t name_inventory(struct pp_agent *a, uint8_t digest[32])
{
	struct pp_hashing h;

	pp_hashing_begin(&h, a->port);
	pp_agent_inventory(a, (struct pp_sink){pp_hash_sink, &h});
	pp_hashing_end(&h, digest);
	return h.size;
}

/* -- the message -------------------------------------------------------------------------------- */

static size_t put_observed(struct pp_out *out, const struct pp_observed *observed)
{
	const size_t count =
		(size_t)((observed->fence != 0) + (observed->gen != 0) + observed->has_digest);

	pp_put_map(out, count);
	if (observed->fence != 0) {
		pp_put_int_in(out, PP_OBSERVED_FENCE, observed->fence);
	}
	if (observed->gen != 0) {
		pp_put_int_in(out, PP_OBSERVED_GEN, observed->gen);
	}
	if (observed->has_digest) {
		pp_put_bytes_in(out, PP_OBSERVED_DIGEST, observed->digest, 32);
	}
	return count;
}

static void put_refused(struct pp_out *out, const struct pp_refused *refused)
{
	static const char digits[] = "0123456789abcdef";
	char digest[71] = "sha256:";

	for (unsigned i = 0; i < 32; i++) {
		digest[7 + 2 * i] = digits[refused->digest[i] >> 4];
		digest[8 + 2 * i] = digits[refused->digest[i] & 15];
	}
	pp_put_map(out, 4);
	pp_put_int_in(out, PP_REFUSED_FENCE, refused->fence);
	pp_put_int_in(out, PP_REFUSED_GEN, refused->gen);
	pp_put_text_in(out, PP_REFUSED_DIGEST, digest, refused->has_digest ? sizeof digest : 0);
	pp_put_word_in(out, PP_REFUSED_REASON, refused->reason);
}

static bool put_free(struct pp_agent *a, struct pp_out *out)
{
	uint64_t values[3];
	size_t count = 0, mark;

	pp_free(a, &values[0], &values[1]);
	values[2] = a->storage_left;
	if (values[0] == 0 && values[1] == 0 && values[2] == 0) {
		return false;
	}
	pp_put_key(out, PP_REPORT_FREE);
	mark = pp_put_open(out);
	for (unsigned i = 0; i < 3; i++) {
		if (values[i] != 0) {
			pp_put_int_in(out, PP_FREE_MEMORY + i, (int64_t)values[i]);
			count++;
		}
	}
	pp_put_close(out, mark, PP_MAJOR_MAP, count);
	return true;
}

static bool put_metrics(const struct pp_agent *a, struct pp_out *out)
{
	const char *last = "";

	if (a->count_count == 0) {
		return false;
	}
	pp_put_key(out, PP_REPORT_METRICS);
	pp_put_map(out, a->count_count);
	for (unsigned i = 0; i < a->count_count; i++) {
		unsigned least = a->count_count;

		for (unsigned j = 0; j < a->count_count; j++) {
			if (strcmp(a->counts[j].word, last) > 0 &&
			    (least == a->count_count ||
			     strcmp(a->counts[j].word, a->counts[least].word) < 0)) {
				least = j;
			}
		}
		last = a->counts[least].word;
		pp_put_head(out, 3, strlen("dropped.") + strlen(last));
		pp_put_raw(out, "dropped.", strlen("dropped."));
		pp_put_raw(out, last, strlen(last));
		pp_put_int(out, a->counts[least].count);
	}
	return true;
}

enum form { BEAT, LISTED, BLOB };

static void put_runs(struct pp_agent *a, struct pp_out *out)
{
	const struct pp_run *run = NULL;

	pp_put_key(out, PP_REPORT_TASKS);
	pp_put_list(out, a->run_count);
	while ((run = pp_runs_after(a, run)) != NULL) {
		pp_run_report(a, run, out);
	}
}

static void put_report(struct pp_agent *a, struct pp_out *out, enum form form,
		       const uint8_t inventory[32], uint64_t size, struct pp_now now)
{
	const size_t mark = pp_put_open(out);
	size_t count = 8;

	pp_put_int_in(out, 0, 1);
	pp_put_word_in(out, PP_REPORT_ID, a->id);
	pp_put_bytes_in(out, PP_REPORT_INST, a->inst, 16);
	pp_put_int_in(out, PP_REPORT_BOOT, a->boot);
	pp_put_int_in(out, PP_REPORT_SEQ, a->report.seq);
	pp_put_int_in(out, PP_REPORT_CONN, a->conn);
	pp_put_key(out, PP_REPORT_OBSERVED);
	(void)put_observed(out, &a->observed);
	pp_put_bytes_in(out, PP_REPORT_INVENTORY, inventory, 32);
	if (form == LISTED) {
		put_runs(a, out);
		count++;
	} else if (form == BLOB) {
		pp_put_key(out, PP_REPORT_BODY);
		pp_put_map(out, 2);
		pp_put_bytes_in(out, PP_BLOB_REF_DIGEST, inventory, 32);
		pp_put_int_in(out, PP_BLOB_REF_SIZE, (int64_t)size);
		count++;
	}
	if (a->report.refused.reason != NULL) {
		pp_put_key(out, PP_REPORT_REFUSED);
		put_refused(out, &a->report.refused);
		count++;
	}
	count += put_free(a, out);
	count += put_metrics(a, out);
	if (!pp_synced(a, now)) {
		pp_put_int_in(out, PP_REPORT_CLOCK, PP_REPORT_CLOCK_UNSYNCED);
		count++;
	}
	pp_put_close(out, mark, PP_MAJOR_MAP, count);
}

static void count_bytes(void *ctx, const void *data, size_t len)
{
	(void)data;
	*(size_t *)ctx += len;
}

static bool too_long(const struct pp_agent *a, const struct pp_out *out)
{
	const uint64_t most = a->max_payload < LARGEST ? a->max_payload : LARGEST;
	size_t len = 0;

	if (out->full) {
		return true;
	}
	if (a->config.cbor) {
		len = out->len + PP_HEADROOM; /* signed, it must still fit one payload */
	} else {
		pp_json_shape(&pp_shape_report, (struct pp_view){out->at, out->len}, false, 0,
			      (struct pp_sink){count_bytes, &len});
	}
	return len > most;
}

/* -- telling ------------------------------------------------------------------------------------ */

static void plan_repeats(struct pp_agent *a, const uint8_t inventory[32], struct pp_now now)
{
	static const uint8_t parts[PP_AGAIN] = {20, 10, 5, 5};
	int64_t at = now.mono;

	a->report.has_last = true;
	a->report.last_known = a->observed.has_digest;
	if (a->report.has_news && memcmp(a->report.news.inventory, inventory, 32) == 0 &&
	    same_refused(&a->report.news.refused, &a->report.refused) &&
	    a->report.news.observed.fence == a->observed.fence &&
	    a->report.news.observed.gen == a->observed.gen &&
	    memcmp(a->report.news.observed.digest, a->observed.digest, 32) == 0) {
		return;
	}
	a->report.has_news = true;
	memcpy(a->report.news.inventory, inventory, 32);
	a->report.news.refused = a->report.refused;
	a->report.news.observed = a->observed;
	a->report.repeat_count = PP_AGAIN;
	for (unsigned i = 0; i < PP_AGAIN; i++) {
		at += pp_max(1, a->heartbeat / parts[i]);
		a->report.repeats[i] = at;
	}
}

static void remember(struct pp_agent *a, const struct pp_out *out)
{
	a->report.told_len = 0;
	if (a->memory.told != NULL && out->len <= a->memory.told_size) {
		memcpy(a->memory.told, out->at, out->len);
		a->report.told_len = out->len;
	}
}

static void repeat(struct pp_agent *a, struct pp_now now)
{
	struct pp_out out;

	if (!a->report.has_last || a->report.repeat_count == 0 ||
	    now.mono < a->report.repeats[0]) {
		return;
	}
	a->report.repeat_count--;
	memmove(&a->report.repeats[0], &a->report.repeats[1],
		a->report.repeat_count * sizeof a->report.repeats[0]);
	if (!a->report.last_known) {
		pp_publish_hello(a); /* nobody has shown that he knows us */
	}
	if (a->report.told_len > 0) {
		pp_message_begin(a, &out);
		pp_put_raw(&out, a->memory.told, a->report.told_len);
		(void)pp_publish(a, &pp_shape_report, &out, true, NULL);
	}
}

static void tell_all(struct pp_agent *a, struct pp_now now)
{
	uint8_t inventory[32];
	const uint64_t size = name_inventory(a, inventory);
	struct pp_out out;
	bool blob;

	pp_message_begin(a, &out);
	put_report(a, &out, LISTED, inventory, size, now);
	blob = too_long(a, &out);
	if (blob) {
		(void)pp_emit_digest(a, PP_DO_KEEP_BLOB, inventory, size);
		if (a->upload_count == PP_UPLOADS) {
			pp_uploads_drop_passing(a, inventory);
		}
		(void)pp_uploads_add(a, inventory, size, false);
	}
	pp_uploads_drop_passing(a, blob ? inventory : NULL);
	pp_message_begin(a, &out);
	put_report(a, &out, blob ? BLOB : LISTED, inventory, size, now);
	a->report.seq++;
	a->report.told = now.mono;
	a->report.due = a->report.early = -1;
	a->report.not_before = now.mono + a->config.debounce;
	remember(a, &out);
	(void)pp_publish(a, &pp_shape_report, &out, true, NULL);
	plan_repeats(a, inventory, now);
}

static void beat(struct pp_agent *a, struct pp_now now)
{
	uint8_t inventory[32];
	struct pp_out out;

	(void)name_inventory(a, inventory);
	pp_message_begin(a, &out);
	put_report(a, &out, BEAT, inventory, 0, now);
	a->report.seq++;
	a->report.told = now.mono;
	(void)pp_publish(a, &pp_shape_report, &out, false, NULL);
	a->report.beats++;
	if (a->report.beats == 1 || a->report.beats == 3 || a->report.beats % HELLO_EVERY == 0) {
		pp_publish_hello(a);
	}
}

void pp_reporting_tick(struct pp_agent *a, struct pp_now now)
{
	const int64_t at = full_at(a);

	if (now.mono < pp_reporting_due(a)) {
		return;
	}
	if (at >= 0 && now.mono >= at) {
		tell_all(a, now);
	} else if (now.mono - a->report.told < a->heartbeat) {
		repeat(a, now);
	} else {
		beat(a, now);
	}
}

void pp_reporting_asked_again(struct pp_agent *a, struct pp_now now)
{
	const unsigned most = sizeof a->report.repeats / sizeof a->report.repeats[0];

	if (!a->report.has_last || now.mono < a->report.not_before) {
		return;
	}
	a->report.not_before = now.mono + a->config.debounce;
	if (a->report.repeat_count < most) {
		a->report.repeat_count++;
	}
	memmove(&a->report.repeats[1], &a->report.repeats[0],
		(a->report.repeat_count - 1) * sizeof a->report.repeats[0]);
	a->report.repeats[0] = now.mono;
}
