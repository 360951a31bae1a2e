/*
 * What may be believed: the twin of proplet/seals.py. Begins with the pinned root, which may sign a
 * trust document and nothing else; the newest one brings the manager's keys.
 */
#include "inside.h"

enum pp_reject pp_open(struct pp_agent *a, enum pp_purpose purpose, const struct pp_shape *shape,
		       const uint8_t *frame, size_t len, struct pp_view *message, uint8_t *roles)
{
	struct pp_opened opened;
	struct pp_out out;
	enum pp_reject why;

	why = pp_frame_open(a->port, purpose, frame, len, a->keys,
			    purpose == PP_FOR_TRUST ? 1 : a->key_count, &opened);
	if (why != PP_TAKEN) {
		return why;
	}
	pp_out_init(&out, a->memory.incoming, a->memory.document);
	why = pp_read(shape, opened.body, opened.len, &out);
	message->at = a->memory.incoming;
	message->len = out.len;
	if (roles != NULL) {
		*roles = opened.roles;
	}
	return why;
}

static uint8_t roles_of(struct pp_view roles)
{
	static const char *const words[] = {"", "manager", "gateway", "", "release"};
	struct pp_items items = pp_items(roles);
	struct pp_view item;
	uint8_t bits = 0;

	while (pp_next(&items, &item)) {
		const struct proplet_text word = pp_text(item);

		for (unsigned i = 1; i < 5; i++) {
			if (word.len > 0 && word.len == strlen(words[i]) && memcmp(word.at, words[i], word.len) == 0) {
				bits = (uint8_t)(bits | 1u << i);
			}
		}
	}
	return bits;
}

_Static_assert(PP_ROLE_MANAGER == 1 << 1 && PP_ROLE_GATEWAY == 1 << 2 && PP_ROLE_RELEASE == 1 << 4,
	       "places of the words above");

static enum pp_reject read_key(struct pp_agent *a, struct pp_view one, struct pp_key *key)
{
	static const char digits[] = "0123456789abcdef";
	const int64_t alg = pp_int_in(one, PP_TRUSTED_KEY_ALG);
	size_t len;
	const uint8_t *const kid = pp_bytes_in(one, PP_TRUSTED_KEY_KID, &len);
	enum pp_reject why;

	key->alg = 0;
	if (alg != PROPLET_ED25519 && alg != PROPLET_P256) {
		return PP_TAKEN; /* skipped */
	}
	why = pp_key_read(a->port, pp_text_in(one, PP_TRUSTED_KEY_PUB), key);
	if (why != PP_TAKEN || key->alg != alg) {
		return PP_BAD_KEY;
	}
	for (unsigned i = 0; i < 8; i++) {
		if (key->kid[2 * i] != digits[kid[i] >> 4] ||
		    key->kid[2 * i + 1] != digits[kid[i] & 15]) {
			return PP_BAD_KEY;
		}
	}
	key->roles = roles_of(pp_field(one, PP_TRUSTED_KEY_ROLES));
	return PP_TAKEN;
}

/* Every key is read before any is believed. */
static enum pp_reject check_keys(struct pp_agent *a, struct pp_view keys)
{
	struct pp_items items = pp_items(keys);
	struct pp_view item;
	struct pp_key key;

	while (pp_next(&items, &item)) {
		const enum pp_reject why = read_key(a, item, &key);

		if (why != PP_TAKEN) {
			return why;
		}
	}
	return PP_TAKEN;
}

static void believe(struct pp_agent *a, struct pp_view keys)
{
	struct pp_items items = pp_items(keys);
	struct pp_view item;

	a->key_count = 1;
	a->releasing = false;
	while (pp_next(&items, &item)) {
		struct pp_key key;

		if (read_key(a, item, &key) != PP_TAKEN || key.alg == 0) {
			continue;
		}
		a->releasing = a->releasing || (key.roles & PP_ROLE_RELEASE) != 0;
		key.roles = (uint8_t)(key.roles & (PP_ROLE_MANAGER | PP_ROLE_GATEWAY | PP_ROLE_RELEASE));
		if (key.roles != 0 && a->key_count <= PP_KEYS &&
		    strcmp(key.kid, a->keys[0].kid) != 0) {
			a->keys[a->key_count++] = key; /* what signs nothing for us takes no place */
		}
	}
}

enum pp_reject pp_trust_take(struct pp_agent *a, const uint8_t *frame, size_t len, bool *newer)
{
	struct pp_view trust;
	enum pp_reject why =
		pp_open(a, PP_FOR_TRUST, &pp_shape_trust, frame, len, &trust, NULL);
	int64_t version;

	*newer = false;
	if (why != PP_TAKEN) {
		return why;
	}
	version = pp_int_in(trust, PP_TRUST_VERSION);
	if (version <= a->trust_version) {
		return PP_TAKEN;
	}
	why = check_keys(a, pp_field(trust, PP_TRUST_KEYS));
	if (why == PP_TAKEN) {
		believe(a, pp_field(trust, PP_TRUST_KEYS));
		a->trust_version = version;
		*newer = true;
	}
	return why;
}
