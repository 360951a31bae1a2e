/*
 * Values that only this device can open: the twin of propeller/wire/boxes.py. The cryptography is the
 * port's: what the device's encryption key agrees on, HKDF, and an authenticated cipher.
 *
 *     place  = "propeller sealed v1" 00 device 00 inst 00 uid 00 run 00 name
 *     sealed = scheme | enc | ChaCha20-Poly1305(value, aad = place)
 */
#include "base64.h"
#include "cbor.h"
#include "device.h"
#include "inside.h"

#define LABEL "propeller sealed v1"
#define TAG 16
#define POINT 65
#define NAME 128
#define PLACE (sizeof LABEL + 65 + 33 + 37 + 33 + NAME)

enum pp_reject pp_box_read(struct proplet_text text, struct pp_box *box)
{
	static const struct {
		const char *word;
		uint8_t scheme, len;
	} known[] = {{"x25519:", PP_BOX_X25519, 32}, {"p256:", PP_BOX_P256, POINT}};
	size_t count;

	memset(box, 0, sizeof *box);
	for (unsigned i = 0; i < 2; i++) {
		const size_t head = strlen(known[i].word);

		if (text.len >= head && memcmp(text.at, known[i].word, head) == 0 &&
		    pp_base64_read(text.at + head, text.len - head, box->raw, sizeof box->raw,
				   &count) &&
		    count == known[i].len && (count != POINT || box->raw[0] == 4)) {
			box->scheme = known[i].scheme;
			box->len = known[i].len;
			return PP_TAKEN;
		}
	}
	return PP_BAD_KEY;
}

/* -- the place --------------------------------------------------------------------------------- */

static uint8_t *put_hex(uint8_t *to, const uint8_t *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		*to++ = (uint8_t)digits[data[i] >> 4];
		*to++ = (uint8_t)digits[data[i] & 15];
	}
	return to;
}

/* As the manager spells it: hex, and a uid with its dashes. */
static size_t write_place(const struct pp_place *place, uint8_t out[PLACE])
{
	static const uint8_t groups[] = {4, 2, 2, 2, 6};
	const uint8_t *uid = place->uid;
	const size_t device = strlen(place->device);
	uint8_t *to = out;

	memcpy(to, LABEL, sizeof LABEL); /* with its zero */
	to += sizeof LABEL;
	memcpy(to, place->device, device + 1);
	to = put_hex(to + device + 1, place->inst, 16);
	*to++ = 0;
	for (unsigned i = 0; i < sizeof groups; i++) {
		to = put_hex(to, uid, groups[i]);
		uid += groups[i];
		*to++ = i + 1 < sizeof groups ? '-' : 0;
	}
	to = put_hex(to, place->run, 16);
	*to++ = 0;
	memcpy(to, place->name.at, place->name.len);
	return (size_t)(to - out) + place->name.len;
}

/* -- opening ----------------------------------------------------------------------------------- */

struct opening {
	uint8_t key[32], nonce[12];
};

/* The key and nonce of one value: they are the only secret that is left behind, in `out`. */
static PP_APART enum pp_reject agree(const struct proplet_port *port, const struct pp_box *box,
				     const uint8_t *enc, const uint8_t *place, size_t place_len,
				     struct opening *out)
{
	uint8_t salt[2 * POINT], shared[32];
	int why = port->agree(port->ctx, enc, box->len, shared);

	if (why == PROPLET_OK) {
		memcpy(salt, enc, box->len);
		memcpy(salt + box->len, box->raw, box->len);
		why = port->derive(port->ctx, shared, salt, 2u * box->len, place, place_len,
				   (uint8_t *)out, sizeof *out);
	}
	proplet_wipe(shared, sizeof shared);
	return why == PROPLET_OK ? PP_TAKEN : PP_BAD_KEY;
}

_Static_assert(sizeof(struct opening) == 44, "what is derived, without a gap");

enum pp_reject pp_box_open(const struct proplet_port *port, const struct pp_box *box,
			   const struct pp_place *place, const uint8_t *sealed, size_t len,
			   uint8_t *out, size_t cap, size_t *size)
{
	uint8_t where[PLACE];
	struct opening opening;
	const size_t head = 1u + box->len;
	size_t place_len;
	enum pp_reject why;

	*size = 0;
	if (box->len == 0 || len < head + TAG || sealed[0] != box->scheme ||
	    place->name.len > NAME || strlen(place->device) > 64) {
		return PP_BAD_SEAL;
	}
	if (len - head - TAG > cap) {
		return PP_TOO_BIG;
	}
	place_len = write_place(place, where);
	why = agree(port, box, sealed + 1, where, place_len, &opening);
	if (why == PP_TAKEN &&
	    port->unseal(port->ctx, opening.key, opening.nonce, where, place_len, sealed + head,
			 len - head, out) != PROPLET_OK) {
		why = PP_BAD_SEAL;
	}
	proplet_wipe(&opening, sizeof opening);
	*size = why == PP_TAKEN ? len - head - TAG : 0;
	return why;
}

/* -- the secrets of a guest -------------------------------------------------------------------- */

static bool pair_at(const struct proplet_guest *guest, unsigned index, struct pp_view *name,
		    struct pp_view *sealed)
{
	const struct pp_view entry = {guest->entry, guest->entry_len};
	struct pp_items items = pp_items(pp_field(entry, PP_ENTRY_SEALED));

	for (unsigned i = 0; pp_next(&items, name) && pp_next(&items, sealed); i++) {
		if (i == index) {
			return true;
		}
	}
	return false;
}

/* A variable's value is text, and its name a name: neither ends before its end. */
static bool is_variable(struct proplet_text name, const char *value, size_t len)
{
	return name.len > 0 && memchr(name.at, '=', name.len) == NULL &&
	       memchr(name.at, 0, name.len) == NULL && pp_utf8((const uint8_t *)value, len) &&
	       (len == 0 || memchr(value, 0, len) == NULL);
}

int proplet_guest_secret(const struct proplet_guest *guest, unsigned index, char *to, size_t cap,
			 size_t *len)
{
	const struct proplet *const p = guest->device;
	struct pp_place place = {.uid = guest->uid, .run = guest->run};
	struct pp_view name, value;
	enum pp_reject why;
	size_t sealed_len, head;
	const uint8_t *sealed;

	*len = 0;
	if (!pair_at(guest, index, &name, &value)) {
		return PROPLET_MISSING;
	}
	sealed = pp_bytes(value, &sealed_len);
	place.device = p->config.id;
	place.inst = p->agent.inst;
	place.name = pp_text(name);
	head = place.name.len + 1;
	if (cap < head + 1) {
		return PROPLET_FULL;
	}
	why = pp_box_open(p->port, &p->box, &place, sealed, sealed_len, (uint8_t *)to + head,
			  cap - head - 1, len);
	if (why == PP_TOO_BIG) {
		return PROPLET_FULL;
	}
	if (why != PP_TAKEN || !is_variable(place.name, to + head, *len)) {
		proplet_wipe(to, head + *len);
		*len = 0;
		return PROPLET_REFUSED;
	}
	memcpy(to, place.name.at, place.name.len);
	to[head - 1] = '=';
	to[head + *len] = 0;
	*len += head;
	return PROPLET_OK;
}

/* The buffer for what comes is free between two messages, and as large as a list with the values. */
bool pp_boxes_refuse(const struct proplet *p, const struct proplet_guest *guest,
		     struct pp_words *words)
{
	char *const room = (char *)p->agent.memory.incoming;
	struct pp_view name, value;
	size_t len;

	for (unsigned i = 0; i < guest->secrets; i++) {
		const int why = p->box.len == 0
					? PROPLET_MISSING
					: proplet_guest_secret(guest, i, room,
							       p->agent.memory.document, &len);

		if (why == PROPLET_OK) {
			proplet_wipe(room, len);
			continue;
		}
		pp_words_add(words, "its secrets cannot be opened here: ");
		if (why == PROPLET_MISSING) {
			pp_words_add(words, "this proplet has no key for secrets");
		} else if (pair_at(guest, i, &name, &value)) {
			pp_words_text(words, pp_text(name));
			pp_words_add(words, why == PROPLET_FULL
						    ? " is too large"
						    : " was sealed to another key or for another run");
		}
		return true;
	}
	return false;
}
