/* The twin of propeller/registry/wasm_reader.py. */
#include "binary.h"

#include "cbor.h"

void pp_binary_init(struct pp_binary *b, const struct proplet_port *port, const uint8_t *digest,
		    uint32_t size, struct pp_words *why)
{
	memset(b, 0, sizeof *b);
	b->port = port;
	b->digest = digest;
	b->end = size;
	b->why = why;
}

void pp_binary_fault(struct pp_binary *b, const char *words)
{
	if (!b->bad) {
		b->bad = true;
		pp_words_add(b->why, "not a WebAssembly module: malformed: ");
		pp_words_add(b->why, words);
	}
}

static void fault_at(struct pp_binary *b, const char *words, uint32_t at)
{
	if (!b->bad) {
		pp_binary_fault(b, words);
		pp_words_number(b->why, at);
	}
}

static bool hold(struct pp_binary *b, uint32_t at)
{
	uint32_t len;

	if (at >= b->held_at && at < b->held_at + b->held_len) {
		return true;
	}
	len = b->end - at < PP_WINDOW_BYTES ? b->end - at : PP_WINDOW_BYTES;
	b->held_len = 0;
	if (b->port->blob_read(b->port->ctx, b->digest, at, b->held, len) != PROPLET_OK) {
		pp_binary_fault(b, "it could not be read from storage");
		return false;
	}
	b->held_at = at;
	b->held_len = len;
	return true;
}

int pp_binary_peek(struct pp_binary *b)
{
	return !b->bad && b->at < b->end && hold(b, b->at) ? b->held[b->at - b->held_at] : -1;
}

uint8_t pp_binary_byte(struct pp_binary *b)
{
	const int byte = pp_binary_peek(b);

	if (byte < 0) {
		fault_at(b, "cut short at byte ", b->at);
		return 0;
	}
	b->at++;
	return (uint8_t)byte;
}

uint64_t pp_binary_unsigned(struct pp_binary *b, unsigned bits)
{
	uint64_t value = 0;
	unsigned shift = 0;

	for (;;) {
		const uint8_t byte = pp_binary_byte(b);
		const uint64_t part = byte & 0x7Fu;

		if (shift < 64 && (shift + 7 <= 64 || part >> (64 - shift) == 0)) {
			value |= part << shift;
		} else {
			fault_at(b, "integer too large at byte ", b->at);
		}
		if (b->bad || byte < 0x80) {
			break;
		}
		shift += 7;
		if (shift >= bits) {
			fault_at(b, "integer too long at byte ", b->at);
			break;
		}
	}
	if (!b->bad && bits < 64 && value >> bits != 0) {
		fault_at(b, "integer too large at byte ", b->at);
	}
	return b->bad ? 0 : value;
}

uint32_t pp_binary_count(struct pp_binary *b, uint32_t most, const char *what)
{
	const uint32_t value = (uint32_t)pp_binary_unsigned(b, 32);
	const bool many = value > most;

	if (b->bad || (!many && value <= b->end - b->at)) {
		return b->bad ? 0 : value;
	}
	pp_binary_fault(b, "");
	pp_words_number(b->why, value);
	pp_words_add(b->why, " ");
	pp_words_add(b->why, what);
	if (many) {
		pp_words_add(b->why, "; at most ");
		pp_words_number(b->why, most);
		pp_words_add(b->why, " are taken");
	} else {
		pp_words_add(b->why, " do not fit");
	}
	return 0;
}

/* Is the stretch of storage UTF-8? Looked at in pieces that end where a character does. */
static bool is_utf8(struct pp_binary *b, uint32_t at, uint32_t len)
{
	uint8_t part[32];
	size_t held = 0;

	while (len > 0 || held > 0) {
		size_t whole;

		while (held < sizeof part && len > 0) {
			if (!hold(b, at)) {
				return false;
			}
			part[held++] = b->held[at - b->held_at];
			at++;
			len--;
		}
		whole = held;
		for (size_t back = 1; len > 0 && back <= 3; back++) {
			if ((part[held - back] & 0xC0) == 0xC0) {
				whole = held - back; /* a character that may go on in the next piece */
				break;
			}
		}
		if (whole == 0 || !pp_utf8(part, whole)) {
			return false;
		}
		memmove(part, part + whole, held - whole);
		held -= whole;
	}
	return true;
}

uint32_t pp_binary_name(struct pp_binary *b, uint32_t *len)
{
	const uint32_t size = pp_binary_count(b, PP_MAX_NAME, "bytes of name");
	const uint32_t at = b->at;

	*len = b->bad ? 0 : size;
	b->at += *len;
	if (!b->bad && !is_utf8(b, at, size)) {
		fault_at(b, "a name at byte ", at);
		pp_words_add(b->why, " is not UTF-8");
	}
	return at;
}

bool pp_binary_is(struct pp_binary *b, uint32_t at, uint32_t len, struct proplet_text text)
{
	if (text.len != len) {
		return false;
	}
	for (uint32_t i = 0; i < len; i++) {
		if (!hold(b, at + i) || b->held[at + i - b->held_at] != (uint8_t)text.at[i]) {
			return false;
		}
	}
	return true;
}

void pp_binary_tell(struct pp_binary *b, uint32_t at, uint32_t len, struct pp_words *words)
{
	for (uint32_t i = 0; i < len && hold(b, at + i); i++) {
		pp_words_text(words, (struct proplet_text){
					     (const char *)&b->held[at + i - b->held_at], 1});
	}
}

uint32_t pp_binary_part(struct pp_binary *b)
{
	const uint32_t size = (uint32_t)pp_binary_unsigned(b, 32);

	if (!b->bad && size > b->end - b->at) {
		pp_binary_fault(b, "a section of ");
		pp_words_number(b->why, size);
		pp_words_add(b->why, " bytes at byte ");
		pp_words_number(b->why, b->at);
		pp_words_add(b->why, " does not fit");
	}
	return b->bad ? 0 : size;
}
