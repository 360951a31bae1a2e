/*
 * The signature frame and the keys that open it: the twin of propeller/wire/frame.py and signing.py.
 * The cryptography is the port's.
 *
 *     "P1", algorithm u8, length of kid u8, kid, signature[64], body
 */
#include <string.h>

#include "base64.h"
#include "proplet/wire.h"

static const struct {
	const char *word;
	uint8_t roles;
} purposes[PP_PURPOSES] = {
	[PP_FOR_DESIRED] = {"desired", PP_ROLE_MANAGER},
	[PP_FOR_OP] = {"op", PP_ROLE_MANAGER | PP_ROLE_GATEWAY},
	[PP_FOR_ACK] = {"ack", PP_ROLE_MANAGER},
	[PP_FOR_MANAGER] = {"manager", PP_ROLE_MANAGER},
	[PP_FOR_ECHO] = {"echo", PP_ROLE_MANAGER},
	[PP_FOR_TRUST] = {"trust", PP_ROLE_ROOT},
	[PP_FOR_RELEASES] = {"releases", PP_ROLE_RELEASE},
	[PP_FOR_REPORT] = {"report", PP_ROLE_DEVICE},
	[PP_FOR_HELLO] = {"hello", PP_ROLE_DEVICE},
	[PP_FOR_STATUS] = {"status", PP_ROLE_DEVICE},
	[PP_FOR_ANSWER] = {"answer", PP_ROLE_DEVICE},
	[PP_FOR_PUT] = {"put", PP_ROLE_DEVICE},
	[PP_FOR_ENROLL] = {"enroll", PP_ROLE_DEVICE},
	[PP_FOR_CALL] = {"call", PP_ROLE_MANAGER | PP_ROLE_GATEWAY},
	[PP_FOR_RETURN] = {"return", PP_ROLE_DEVICE},
};

const char *pp_purpose_word(enum pp_purpose purpose)
{
	return purposes[purpose].word;
}

static int digest_of(const struct proplet_port *port, const void *data, size_t len,
		     uint8_t digest[32])
{
	struct proplet_hash state;
	int why = port->hash_begin(port->ctx, &state);

	if (why == PROPLET_OK) {
		why = port->hash_add(port->ctx, &state, data, len);
	}
	return why == PROPLET_OK ? port->hash_end(port->ctx, &state, digest) : why;
}

enum pp_reject pp_key_read(const struct proplet_port *port, struct proplet_text text,
			   struct pp_key *key)
{
	static const char digits[] = "0123456789abcdef";
	static const struct {
		const char *name;
		uint8_t alg, len;
	} known[] = {{"ed25519:", PROPLET_ED25519, 32}, {"p256:", PROPLET_P256, 65}};
	uint8_t digest[32];
	size_t count;

	memset(key, 0, sizeof *key);
	for (unsigned i = 0; i < 2; i++) {
		const size_t head = strlen(known[i].name);

		if (text.len < head || memcmp(text.at, known[i].name, head) != 0) {
			continue;
		}
		if (!pp_base64_read(text.at + head, text.len - head, key->raw, sizeof key->raw,
				    &count) ||
		    count != known[i].len || (known[i].alg == PROPLET_P256 && key->raw[0] != 4)) {
			return PP_BAD_KEY;
		}
		key->alg = known[i].alg;
		key->len = known[i].len;
		if (digest_of(port, key->raw, key->len, digest) != PROPLET_OK) {
			return PP_BAD_KEY;
		}
		for (unsigned j = 0; j < 8; j++) {
			key->kid[2 * j] = digits[digest[j] >> 4];
			key->kid[2 * j + 1] = digits[digest[j] & 15];
		}
		return PP_TAKEN;
	}
	return PP_BAD_KEY;
}

#define SIGNED (12 + 8 + 1 + 32) /* "propeller/1/" purpose NUL digest */

static int signed_text(const struct proplet_port *port, enum pp_purpose purpose,
		       const uint8_t *body, size_t len, uint8_t text[SIGNED], size_t *size)
{
	const size_t word = strlen(purposes[purpose].word);

	memcpy(text, "propeller/1/", 12);
	memcpy(text + 12, purposes[purpose].word, word + 1);
	*size = 12 + word + 1 + 32;
	return digest_of(port, body, len, text + 12 + word + 1);
}

static const struct pp_key *find(const struct pp_key *keys, size_t count, const uint8_t *kid,
				 size_t len)
{
	for (size_t i = 0; i < count; i++) {
		if (strlen(keys[i].kid) == len && memcmp(keys[i].kid, kid, len) == 0) {
			return &keys[i];
		}
	}
	return NULL;
}

enum pp_reject pp_frame_open(const struct proplet_port *port, enum pp_purpose purpose,
			     const uint8_t *frame, size_t len, const struct pp_key *keys,
			     size_t key_count, struct pp_opened *opened)
{
	const struct pp_key *key;
	uint8_t text[SIGNED];
	size_t kid, start, size;

	if (len == 0 || frame[0] != 'P') {
		return PP_NOT_FRAMED;
	}
	if (len > PP_MAX_DATA + 4096) {
		return PP_TOO_BIG;
	}
	if (len < 4 || frame[1] != '1') {
		return PP_BAD_FRAME;
	}
	kid = frame[3];
	start = 4 + kid + PP_SIGNATURE;
	if (len < start || !pp_is_id((const char *)frame + 4, kid)) {
		return PP_BAD_FRAME;
	}
	if (frame[2] != PROPLET_ED25519 && frame[2] != PROPLET_P256) {
		return PP_UNKNOWN_ALG;
	}
	key = find(keys, key_count, frame + 4, kid);
	if (key == NULL) {
		return PP_UNKNOWN_KID;
	}
	if ((key->roles & purposes[purpose].roles) == 0) {
		return PP_NOT_ALLOWED;
	}
	if (key->alg != frame[2] ||
	    signed_text(port, purpose, frame + start, len - start, text, &size) != PROPLET_OK ||
	    port->verify(port->ctx, (enum proplet_alg)key->alg, key->raw, key->len, frame + 4 + kid,
			 text, size) != PROPLET_OK) {
		return PP_BAD_SIGNATURE;
	}
	opened->body = frame + start;
	opened->len = len - start;
	opened->roles = key->roles;
	return PP_TAKEN;
}

size_t pp_frame_head(const struct pp_key *key)
{
	return 4 + strlen(key->kid) + PP_SIGNATURE;
}

int pp_frame_seal(const struct proplet_port *port, enum pp_purpose purpose,
		  const struct pp_key *key, uint8_t *frame, size_t body_len)
{
	const size_t kid = strlen(key->kid);
	uint8_t text[SIGNED];
	size_t size;
	int why;

	frame[0] = 'P';
	frame[1] = '1';
	frame[2] = key->alg;
	frame[3] = (uint8_t)kid;
	memcpy(frame + 4, key->kid, kid);
	why = signed_text(port, purpose, frame + pp_frame_head(key), body_len, text, &size);
	return why == PROPLET_OK ? port->sign(port->ctx, frame + 4 + kid, text, size) : why;
}
