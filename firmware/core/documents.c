/*
 * Which desired document is the one to hold: accepted, refused, or awaiting its body. The twin of
 * proplet/documents.py, by the lettered rules of the protocol.
 */
#include "inside.h"

#define SET_BEHIND 300000 /* ms a clock may be behind what was signed and still count as set */

bool pp_synced(const struct pp_agent *a, struct pp_now now)
{
	return now.synced && now.wall + SET_BEHIND >= a->floor;
}

/* Unix ms as far as can be known: without a set clock, no earlier than what was signed. */
static int64_t time_of(const struct pp_agent *a, struct pp_now now)
{
	return pp_synced(a, now) ? pp_max(now.wall, a->floor) : a->floor;
}

static void read_document(struct pp_view message, struct pp_document *document)
{
	const struct pp_view body = pp_field(message, PP_DESIRED_BODY);
	size_t len;

	memset(document, 0, sizeof *document);
	document->here = true;
	document->fence = pp_int_in(message, PP_DESIRED_FENCE);
	document->gen = pp_int_in(message, PP_DESIRED_GEN);
	document->iat = pp_int_in(message, PP_DESIRED_IAT);
	document->not_after = pp_int(pp_field(message, PP_DESIRED_NOT_AFTER), -1);
	memcpy(document->digest, pp_bytes_in(message, PP_DESIRED_DIGEST, &len), 32);
	if (body.at != NULL) {
		memcpy(document->body, pp_bytes_in(body, PP_BLOB_REF_DIGEST, &len), 32);
		document->size = (uint64_t)pp_int_in(body, PP_BLOB_REF_SIZE);
	}
}

static bool same_document(const struct pp_document *one, const struct pp_document *other)
{
	return one->fence == other->fence && one->gen == other->gen && one->iat == other->iat &&
	       one->not_after == other->not_after && one->size == other->size &&
	       memcmp(one->digest, other->digest, 32) == 0 &&
	       memcmp(one->body, other->body, 32) == 0;
}

static int newer(int64_t fence, int64_t gen, int64_t other_fence, int64_t other_gen)
{
	if (fence != other_fence) {
		return fence > other_fence ? 1 : -1;
	}
	return (gen > other_gen) - (gen < other_gen);
}

static bool is_me(const struct pp_agent *a, struct proplet_text to)
{
	return to.len == strlen(a->id) && memcmp(to.at, a->id, to.len) == 0;
}

#define SAME "same"
#define FOREIGN "foreign"

/* Why a verified document is not taken: NULL takes it, SAME is what we hold already. */
static const char *why_not(const struct pp_agent *a, struct pp_view message,
			   const struct pp_document *d, struct pp_now now)
{
	const struct pp_document *const incoming = &a->incoming;
	const struct pp_view tasks = pp_field(message, PP_DESIRED_TASKS);
	size_t len;
	int order;

	if (!is_me(a, pp_text_in(message, PP_DESIRED_TO))) {
		return FOREIGN;
	}
	if (memcmp(pp_bytes_in(message, PP_DESIRED_INST, &len), a->inst, 16) != 0) {
		return "other_inst";
	}
	order = newer(d->fence, d->gen, a->observed.fence, a->observed.gen);
	if (a->disowned) {
		order = 1; /* a stolen key must not outbid its successor for ever */
	}
	if (order == 0 && a->observed.has_digest) {
		return memcmp(d->digest, a->observed.digest, 32) == 0 ? SAME : "other_digest";
	}
	if (order < 0) {
		return "stale";
	}
	if (incoming->here) {
		order = newer(d->fence, d->gen, incoming->fence, incoming->gen);
		if (order < 0) {
			return "stale";
		}
		if (order == 0 && memcmp(d->digest, incoming->digest, 32) != 0) {
			return "other_digest";
		}
	}
	if (d->not_after >= 0 && time_of(a, now) > d->not_after) {
		return "expired";
	}
	if (tasks.at == NULL && d->size > a->config.max_desired) {
		return "too_big";
	}
	return pp_count(tasks) > a->config.max_entries ? "too_many" : NULL;
}

static PP_APART void refuse_document(struct pp_agent *a, const struct pp_document *d, const char *reason,
			    struct pp_now now)
{
	struct pp_refused refused = {
		.fence = d->fence, .gen = d->gen, .has_digest = true, .reason = reason};

	memcpy(refused.digest, d->digest, 32);
	pp_documents_refuse(a, &refused, now);
}

void pp_documents_refuse(struct pp_agent *a, const struct pp_refused *refused, struct pp_now now)
{
	struct pp_words words;

	if (pp_reporting_refuse(a, refused, now)) {
		pp_words_init(&words);
		pp_words_add(&words, "refused a desired document: ");
		pp_words_add(&words, refused->reason);
		pp_say(a, PROPLET_WARNING, words.at);
	}
}

static bool repeats_a_run(struct pp_view list)
{
	struct pp_items items = pp_items(list), others;
	struct pp_view entry, other;
	size_t len;

	while (pp_next(&items, &entry)) {
		const uint8_t *const uid = pp_bytes_in(entry, PP_ENTRY_UID, &len);
		const uint8_t *const run = pp_bytes_in(entry, PP_ENTRY_RUN, &len);

		others = items;
		while (pp_next(&others, &other)) {
			if (memcmp(pp_bytes_in(other, PP_ENTRY_UID, &len), uid, 16) == 0 &&
			    memcmp(pp_bytes_in(other, PP_ENTRY_RUN, &len), run, 16) == 0) {
				return true;
			}
		}
	}
	return false;
}

static PP_APART void say_accepted(struct pp_agent *a, size_t tasks)
{
	struct pp_words words;

	pp_words_init(&words);
	pp_words_add(&words, "accepted a desired document, tasks: ");
	pp_words_number(&words, tasks);
	pp_say(a, PROPLET_INFO, words.at);
}

/* The list stands in memory.incoming; once it is stored, the two buffers change places. */
static PP_APART void accept(struct pp_agent *a, const struct pp_document *d, struct pp_view list,
		   struct pp_now now)
{
	struct pp_observed observed = {.fence = d->fence, .gen = d->gen, .has_digest = true};
	const int64_t floor = pp_max(a->floor, d->iat);
	struct pp_effect effect = {.what = PP_DO_SAVE_DESIRED,
				   .observed = &observed,
				   .iat = floor,
				   .signer = d->signer};
	uint8_t *const held = a->memory.desired;

	memcpy(observed.digest, d->digest, 32);
	if (repeats_a_run(list)) {
		refuse_document(a, d, "repeated_run", now);
		return;
	}
	if (!pp_runs_have_room(a, list)) {
		refuse_document(a, d, "too_many", now);
		return;
	}
	memmove(a->memory.incoming, list.at, list.len);
	list.at = a->memory.incoming;
	effect.list = list;
	if (pp_emit(a, &effect) != PROPLET_OK) {
		refuse_document(a, d, "not_stored", now);
		return;
	}
	memcpy(a->signer, d->signer, sizeof a->signer);
	a->disowned = false;
	a->incoming.here = false;
	a->observed = observed;
	a->floor = floor;
	a->memory.desired = a->memory.incoming;
	a->memory.incoming = held;
	a->desired_len = list.len;
	pp_runs_want(a, list);
	a->report.refused.reason = NULL;
	say_accepted(a, pp_count(list));
}

static bool believed(const struct pp_agent *a, const char *kid)
{
	for (size_t i = 0; i < a->key_count; i++) {
		if (strcmp(a->keys[i].kid, kid) == 0) {
			return true;
		}
	}
	return false;
}

void pp_documents_trusted_anew(struct pp_agent *a, struct pp_now now)
{
	a->disowned = a->signer[0] != 0 && !believed(a, a->signer);
	if (a->disowned && now.synced) {
		a->floor = a->floor < now.wall ? a->floor : now.wall;
	}
	if (a->incoming.here && !believed(a, a->incoming.signer)) {
		a->incoming.here = false;
	}
}

void pp_documents_hear(struct pp_agent *a, struct pp_view message, struct proplet_text signer,
		       struct pp_now now)
{
	const struct pp_view tasks = pp_field(message, PP_DESIRED_TASKS);
	struct pp_document d;
	const char *reason;

	read_document(message, &d);
	memcpy(d.signer, signer.at, signer.len < sizeof d.signer ? signer.len : sizeof d.signer - 1);
	reason = why_not(a, message, &d, now);
	if (reason != NULL && strcmp(reason, SAME) == 0) {
		pp_reporting_asked_again(a, now);
		return;
	}
	if (reason != NULL) {
		pp_agent_count(a, reason);
		if (strcmp(reason, FOREIGN) != 0) {
			refuse_document(a, &d, reason, now);
		}
		return;
	}
	if (tasks.at != NULL) {
		accept(a, &d, tasks, now);
	} else if (!a->incoming.here || a->incoming.given_up || !same_document(&a->incoming, &d)) {
		a->incoming = d;
		pp_documents_ask_again(a);
	}
}

void pp_documents_ask_again(struct pp_agent *a)
{
	const struct pp_effect effect = {.what = PP_DO_FETCH,
					 .digest = a->incoming.body,
					 .size = a->incoming.size,
					 .body = true};

	if (a->incoming.here) {
		a->incoming.given_up = false;
		(void)pp_emit(a, &effect);
	}
}

bool pp_documents_await(const struct pp_agent *a, const uint8_t *digest)
{
	return a->incoming.here && memcmp(a->incoming.body, digest, 32) == 0;
}

/* The next entry after `last` by uid and run: the order in which a list is digested. */
static bool next_entry(struct pp_view list, const struct pp_view *last, struct pp_view *found)
{
	struct pp_items items = pp_items(list);
	struct pp_view entry;
	bool any = false;
	uint8_t least[32], bound[32], key[32];
	size_t len;

	for (unsigned i = 0; last != NULL && i < 2; i++) {
		memcpy(bound + 16 * i,
		       pp_bytes_in(*last, i == 0 ? PP_ENTRY_UID : PP_ENTRY_RUN, &len), 16);
	}
	while (pp_next(&items, &entry)) {
		memcpy(key, pp_bytes_in(entry, PP_ENTRY_UID, &len), 16);
		memcpy(key + 16, pp_bytes_in(entry, PP_ENTRY_RUN, &len), 16);
		if ((last != NULL && memcmp(key, bound, 32) <= 0) ||
		    (any && memcmp(key, least, 32) >= 0)) {
			continue;
		}
		memcpy(least, key, 32);
		*found = entry;
		any = true;
	}
	return any;
}

static PP_APART void digest_of(const struct pp_agent *a, struct pp_view list, uint8_t digest[32])
{
	struct pp_hashing h;
	struct pp_view last = {NULL, 0};

	pp_hashing_begin(&h, a->port);
	pp_hash_sink(&h, "[", 1);
	for (bool first = true; next_entry(list, first ? NULL : &last, &last); first = false) {
		pp_hash_sink(&h, ",", first ? 0 : 1);
		pp_json_shape(&pp_shape_entry, last, true, 0, (struct pp_sink){pp_hash_sink, &h});
	}
	pp_hash_sink(&h, "]", 1);
	pp_hashing_end(&h, digest);
}

bool pp_documents_take(struct pp_agent *a, const uint8_t *digest, const uint8_t *data, size_t len,
		       struct pp_now now)
{
	const struct pp_document *const d = &a->incoming;
	struct pp_out out;
	enum pp_reject why;
	uint8_t named[32];

	if (!pp_documents_await(a, digest)) {
		return false;
	}
	a->incoming.here = false;
	pp_out_init(&out, a->memory.incoming, a->memory.document);
	why = pp_read_list(&pp_kind_tasks, data, len, &out);
	if (why == PP_TAKEN) {
		const struct pp_view list = {out.at, out.len};

		digest_of(a, list, named);
		if (memcmp(named, d->digest, 32) != 0 && !repeats_a_run(list)) {
			why = PP_DIGEST_MISMATCH;
		}
	}
	if (why != PP_TAKEN) {
		pp_agent_count(a, pp_reject_word(why));
		refuse_document(a, d, pp_reject_word(why), now);
	} else if (pp_count((struct pp_view){out.at, out.len}) > a->config.max_entries) {
		refuse_document(a, d, "too_many", now);
	} else {
		accept(a, d, (struct pp_view){out.at, out.len}, now);
	}
	return true;
}

bool pp_documents_give_up(struct pp_agent *a, const uint8_t *digest, struct pp_now now)
{
	if (!pp_documents_await(a, digest)) {
		return false;
	}
	a->incoming.given_up = true;
	refuse_document(a, &a->incoming, "body_unavailable", now);
	return true;
}
