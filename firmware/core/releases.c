/*
 * Which modules may be started at all: the newest release list, and what was held before it ended. The
 * twin of proplet/releases.py. Where trust gives no key the role `release`, everything may.
 *
 * memory.releases holds, one after the other: digests that are held (32 bytes for each run there may
 * be), the frame of the list as it came, and the list as checked CBOR.
 */
#include "inside.h"

static uint8_t *held_at(const struct pp_agent *a, size_t place)
{
	return a->memory.releases + 32 * place;
}

static uint8_t *frame_at(const struct pp_agent *a)
{
	return held_at(a, a->memory.run_count);
}

static struct pp_view list_of(const struct pp_agent *a)
{
	return (struct pp_view){frame_at(a) + a->releases.frame_len, a->releases.list_len};
}

/* Bytes for a frame and its list. */
static size_t room(const struct pp_agent *a)
{
	const size_t held = 32 * a->memory.run_count;

	return a->memory.releases == NULL || a->memory.releases_size < held
		       ? 0
		       : a->memory.releases_size - held;
}

static int64_t version_of(struct pp_view list)
{
	return pp_int_in(list, PP_RELEASES_VERSION);
}

static void save(struct pp_agent *a, bool fresh)
{
	const struct pp_effect effect = {
		.what = PP_DO_SAVE_RELEASES,
		.data = frame_at(a),
		.len = a->releases.frame_len,
		.digest = a->memory.releases,
		.size = a->releases.held,
		.again = fresh,
	};

	(void)pp_emit(a, &effect);
}

static bool is_named(const struct pp_agent *a, const uint8_t *digest)
{
	struct pp_items items = pp_items(pp_field(list_of(a), PP_RELEASES_MODULES));
	struct pp_view item;
	size_t len;

	while (pp_next(&items, &item)) {
		if (memcmp(pp_bytes(item, &len), digest, 32) == 0) {
			return true;
		}
	}
	return false;
}

static bool has_ended(const struct pp_agent *a, struct pp_now now)
{
	const struct pp_view end = pp_field(list_of(a), PP_RELEASES_NOT_AFTER);
	const int64_t time = pp_synced(a, now) ? pp_max(now.wall, a->floor) : a->floor;

	return end.at != NULL && time > pp_int(end, 0);
}

static bool is_held(const struct pp_agent *a, const uint8_t *digest)
{
	for (size_t i = 0; i < a->releases.held; i++) {
		if (memcmp(held_at(a, i), digest, 32) == 0) {
			return true;
		}
	}
	return false;
}

/* -- lists ------------------------------------------------------------------------------------- */

/* The frame that is kept counts if a key that is believed now signed it. */
static void look(struct pp_agent *a)
{
	struct pp_view list;

	a->releases.counts = false;
	if (a->releases.frame_len == 0 || !a->releasing ||
	    pp_open(a, PP_FOR_RELEASES, &pp_shape_releases, frame_at(a), a->releases.frame_len,
		    &list, NULL) != PP_TAKEN ||
	    list.len > room(a) - a->releases.frame_len) {
		return;
	}
	memcpy(frame_at(a) + a->releases.frame_len, list.at, list.len);
	a->releases.list_len = list.len;
	a->releases.counts = true;
}

void pp_releases_load(struct pp_agent *a, size_t frame_len, size_t held)
{
	const bool fits = frame_len <= room(a) && held <= a->memory.run_count;

	a->releases.frame_len = fits ? frame_len : 0;
	a->releases.held = fits ? held : 0;
	look(a);
}

void pp_releases_trusted_anew(struct pp_agent *a)
{
	static const enum pp_topic lists[] = {PP_TOPIC_RELEASES};

	if (room(a) == 0) {
		return;
	}
	look(a);
	if (a->releasing) {
		pp_subscribe(a, lists, 1, true);
	}
}

bool pp_releases_wanted(const struct pp_agent *a)
{
	return a->releasing && room(a) > 0;
}

/* NULL, or why a list that is well signed is not taken. */
static const char *take(struct pp_agent *a, const uint8_t *frame, size_t len, struct pp_view list,
			bool *newer)
{
	const struct pp_view before = list_of(a);

	if (a->releases.counts && version_of(list) < version_of(before)) {
		return "stale";
	}
	if (a->releases.counts && version_of(list) == version_of(before)) {
		return list.len == before.len && memcmp(list.at, before.at, list.len) == 0
			       ? NULL
			       : "other_digest";
	}
	/* What does not fit a record would be gone after a reboot. */
	if (len > a->memory.document || len > room(a) || list.len > room(a) - len) {
		return pp_reject_word(PP_TOO_BIG);
	}
	memcpy(frame_at(a), frame, len);
	memcpy(frame_at(a) + len, list.at, list.len);
	a->releases.frame_len = len;
	a->releases.list_len = list.len;
	a->releases.counts = true;
	*newer = true;
	return NULL;
}

static PP_APART void say_refused(struct pp_agent *a, const char *why)
{
	struct pp_words words;

	pp_words_init(&words);
	pp_words_add(&words, "refused a release list: ");
	pp_words_add(&words, why);
	pp_say(a, PROPLET_WARNING, words.at);
}

/* Without one that counts nothing starts, so an empty slot or a bad list frees nothing. */
enum pp_reject pp_releases_hear(struct pp_agent *a, const uint8_t *frame, size_t len)
{
	const char *words = NULL;
	struct pp_view list;
	enum pp_reject why;
	bool newer = false;

	if (len == 0 || !pp_releases_wanted(a)) {
		return PP_TAKEN;
	}
	why = pp_open(a, PP_FOR_RELEASES, &pp_shape_releases, frame, len, &list, NULL);
	if (why == PP_TAKEN) {
		words = take(a, frame, len, list, &newer);
	}
	if (words != NULL) {
		pp_agent_count(a, words);
	}
	if (why != PP_TAKEN || words != NULL) {
		say_refused(a, words != NULL ? words : pp_reject_word(why));
	} else if (newer) {
		save(a, true);
		pp_say(a, PROPLET_INFO, "took a newer release list");
	}
	return why;
}

/* -- what is held ------------------------------------------------------------------------------ */

static bool is_listed(const struct pp_agent *a, const uint8_t *digest)
{
	for (size_t i = 0; i < a->run_count; i++) {
		const struct pp_run *const run = &a->memory.runs[i];

		if (!run->gone && run->wanted && memcmp(run->plan.module, digest, 32) == 0) {
			return true;
		}
	}
	return false;
}

/* In order, so that what is stored does not depend on the order of a list. */
static void hold(struct pp_agent *a, const uint8_t *digest)
{
	size_t at = 0;

	while (at < a->releases.held && memcmp(held_at(a, at), digest, 32) < 0) {
		at++;
	}
	memmove(held_at(a, at + 1), held_at(a, at), 32 * (a->releases.held - at));
	memcpy(held_at(a, at), digest, 32);
	a->releases.held++;
}

static bool let_go(struct pp_agent *a)
{
	bool changed = false;

	for (size_t i = a->releases.held; i-- > 0;) {
		if (!is_listed(a, held_at(a, i))) {
			a->releases.held--;
			memmove(held_at(a, i), held_at(a, i + 1), 32 * (a->releases.held - i));
			changed = true;
		}
	}
	return changed;
}

/* What stands in the accepted document now may be started again after its list ended. */
void pp_releases_hold(struct pp_agent *a, struct pp_now now)
{
	bool changed;

	if (!pp_releases_wanted(a)) {
		return;
	}
	changed = let_go(a);
	for (size_t i = 0; i < a->run_count && a->releases.counts && !has_ended(a, now); i++) {
		const struct pp_run *const run = &a->memory.runs[i];

		if (!run->gone && run->wanted && !is_held(a, run->plan.module) &&
		    is_named(a, run->plan.module)) {
			hold(a, run->plan.module);
			changed = true;
		}
	}
	if (changed) {
		save(a, false);
	}
}

/* -- the verdict ------------------------------------------------------------------------------- */

static void add_digest(struct pp_words *why, const uint8_t *digest)
{
	static const char digits[] = "0123456789abcdef";
	char text[7 + 64 + 1] = "sha256:";

	for (unsigned i = 0; i < 32; i++) {
		text[7 + 2 * i] = digits[digest[i] >> 4];
		text[8 + 2 * i] = digits[digest[i] & 15];
	}
	text[71] = 0;
	pp_words_add(why, text);
}

static void add_version(const struct pp_agent *a, struct pp_words *why)
{
	pp_words_add(why, "NotReleased: release list ");
	pp_words_number(why, (uint64_t)version_of(list_of(a)));
}

/* True, and why, where no module of this digest may be started. */
bool pp_releases_forbid(const struct pp_agent *a, const uint8_t *digest, struct pp_now now,
			struct pp_words *why)
{
	pp_words_init(why);
	if (!a->releasing) {
		return false;
	}
	if (room(a) == 0) {
		pp_words_add(why, "NotReleased: this proplet keeps no release lists");
	} else if (!a->releases.counts) {
		pp_words_add(why, "NotReleased: no release list has come that this fleet's keys signed");
	} else if (!is_named(a, digest)) {
		add_version(a, why);
		pp_words_add(why, " does not name ");
		add_digest(why, digest);
	} else if (has_ended(a, now) && !is_held(a, digest)) {
		add_version(a, why);
		pp_words_add(why, " has ended, and ");
		add_digest(why, digest);
		pp_words_add(why, " is new");
	} else {
		return false;
	}
	return true;
}
