/*
 * CBOR in one spelling, the twin of propeller/wire/cbor_codec.py: definite lengths, shortest heads,
 * no tags, no floats, keys that are integers or text.
 */
#include "cbor.h"

#include <string.h>

/* -- writing ------------------------------------------------------------------------------ */

void pp_out_init(struct pp_out *out, void *at, size_t cap)
{
	out->at = at;
	out->cap = cap;
	out->len = 0;
	out->full = false;
}

void pp_put_raw(struct pp_out *out, const void *data, size_t len)
{
	if (out->full || len > out->cap - out->len) {
		out->full = true;
		return;
	}
	if (len != 0) {
		memcpy(out->at + out->len, data, len);
	}
	out->len += len;
}

void pp_put_head(struct pp_out *out, uint8_t major, uint64_t count)
{
	uint8_t head[9];
	size_t size = 1;
	unsigned code;

	if (count < 24) {
		head[0] = (uint8_t)((unsigned)major << 5 | (unsigned)count);
		pp_put_raw(out, head, 1);
		return;
	}
	code = count < 1u << 8 ? 0 : count < 1u << 16 ? 1 : count < UINT64_C(1) << 32 ? 2 : 3;
	head[0] = (uint8_t)((unsigned)major << 5 | (24 + code));
	for (unsigned left = 1u << code; left-- > 0;) {
		head[size++] = (uint8_t)(count >> (8 * left));
	}
	pp_put_raw(out, head, size);
}

void pp_put_int(struct pp_out *out, int64_t value)
{
	if (value >= 0) {
		pp_put_head(out, 0, (uint64_t)value);
	} else {
		pp_put_head(out, 1, (uint64_t)(-1 - value));
	}
}

void pp_put_bool(struct pp_out *out, bool value)
{
	const uint8_t head = value ? 0xF5 : 0xF4;

	pp_put_raw(out, &head, 1);
}

void pp_put_text(struct pp_out *out, const char *text, size_t len)
{
	pp_put_head(out, 3, len);
	pp_put_raw(out, text, len);
}

void pp_put_bytes(struct pp_out *out, const void *data, size_t len)
{
	pp_put_head(out, 2, len);
	pp_put_raw(out, data, len);
}

void pp_put_key(struct pp_out *out, unsigned key)
{
	pp_put_head(out, 0, key);
}

void pp_put_int_in(struct pp_out *out, unsigned key, int64_t value)
{
	pp_put_key(out, key);
	pp_put_int(out, value);
}

void pp_put_text_in(struct pp_out *out, unsigned key, const char *text, size_t len)
{
	pp_put_key(out, key);
	pp_put_text(out, text, len);
}

void pp_put_word_in(struct pp_out *out, unsigned key, const char *word)
{
	pp_put_text_in(out, key, word, strlen(word));
}

void pp_put_bytes_in(struct pp_out *out, unsigned key, const void *data, size_t len)
{
	pp_put_key(out, key);
	pp_put_bytes(out, data, len);
}

void pp_put_map(struct pp_out *out, size_t count)
{
	pp_put_head(out, PP_MAJOR_MAP, count);
}

void pp_put_list(struct pp_out *out, size_t count)
{
	pp_put_head(out, PP_MAJOR_LIST, count);
}

size_t pp_put_open(struct pp_out *out)
{
	const size_t mark = out->len;

	pp_put_raw(out, "", 1);
	return mark;
}

void pp_put_close(struct pp_out *out, size_t mark, uint8_t major, size_t count)
{
	struct pp_out head;
	uint8_t bytes[9];
	size_t body;

	if (out->full) {
		return;
	}
	pp_out_init(&head, bytes, sizeof bytes);
	pp_put_head(&head, major, count);
	if (head.len - 1 > out->cap - out->len) {
		out->full = true;
		return;
	}
	body = out->len - mark - 1;
	memmove(out->at + mark + head.len, out->at + mark + 1, body);
	memcpy(out->at + mark, bytes, head.len);
	out->len += head.len - 1;
}

/* -- reading what is not checked yet ------------------------------------------------------ */

bool pp_cbor_head(const uint8_t **at, const uint8_t *end, uint8_t *major, uint64_t *count)
{
	static const uint64_t least[4] = {24, 1u << 8, 1u << 16, UINT64_C(1) << 32};
	uint64_t read = 0;
	unsigned code, size;

	if (*at >= end) {
		return false;
	}
	*major = (uint8_t)(**at >> 5);
	code = **at & 31u;
	++*at;
	if (*major == 7 || code < 24) {
		*count = code;
		return true;
	}
	if (code > 27) {
		return false;
	}
	size = 1u << (code - 24);
	if ((size_t)(end - *at) < size) {
		return false;
	}
	for (unsigned i = 0; i < size; i++) {
		read = read << 8 | *(*at)++;
	}
	*count = read;
	return read >= least[code - 24];
}

bool pp_utf8(const uint8_t *at, size_t len)
{
	const uint8_t *const end = at + len;

	while (at < end) {
		const uint8_t lead = *at++;
		unsigned more;
		uint32_t point;

		if (lead < 0x80) {
			continue;
		}
		more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
		if (lead < 0xC2 || lead > 0xF4 || (size_t)(end - at) < more) {
			return false;
		}
		point = lead & (0x3Fu >> more);
		for (unsigned i = 0; i < more; i++, at++) {
			if ((*at & 0xC0) != 0x80) {
				return false;
			}
			point = point << 6 | (*at & 0x3Fu);
		}
		if ((more == 2 && (point < 0x800 || (point >= 0xD800 && point < 0xE000))) ||
		    (more == 3 && (point < 0x10000 || point > 0x10FFFF))) {
			return false;
		}
	}
	return true;
}

static enum pp_reject check(const uint8_t **at, const uint8_t *end, unsigned depth);

static enum pp_reject check_key(const uint8_t **at, const uint8_t *end)
{
	const unsigned major = *at < end ? **at >> 5 : 4u;

	if (major == 0 || major == 1 || major == 3 ||
	    (*at < end && **at >= 0xF9 && **at <= 0xFB)) {
		return check(at, end, PP_MAX_DEPTH);
	}
	return PP_MALFORMED;
}

static bool seen_before(const uint8_t *first, const uint8_t *key, size_t len, const uint8_t *end)
{
	const uint8_t *at = first;

	while (at < key) {
		const uint8_t *const value = pp_cbor_skip(at, end);

		if ((size_t)(value - at) == len && memcmp(at, key, len) == 0) {
			return true;
		}
		at = pp_cbor_skip(value, end);
	}
	return false;
}

static enum pp_reject check_map(const uint8_t **at, const uint8_t *end, uint64_t count,
				unsigned depth)
{
	const uint8_t *const first = *at;
	enum pp_reject why;

	for (uint64_t i = 0; i < count; i++) {
		const uint8_t *const key = *at;

		why = check_key(at, end);
		if (why != PP_TAKEN) {
			return why;
		}
		if (i >= PP_MAX_KEYS) {
			return PP_TOO_MANY;
		}
		if (seen_before(first, key, (size_t)(*at - key), end)) {
			return PP_DUPLICATE_KEY;
		}
		why = check(at, end, depth + 1);
		if (why != PP_TAKEN) {
			return why;
		}
	}
	return PP_TAKEN;
}

static enum pp_reject check_simple(uint64_t code)
{
	if (code >= 25 && code <= 27) {
		return PP_FLOAT;
	}
	return code >= 20 && code <= 22 ? PP_TAKEN : PP_MALFORMED;
}

static enum pp_reject check(const uint8_t **at, const uint8_t *end, unsigned depth)
{
	uint8_t major;
	uint64_t count;

	if (!pp_cbor_head(at, end, &major, &count)) {
		return PP_MALFORMED;
	}
	switch (major) {
	case 0:
	case 1:
		return count > (uint64_t)PP_MAX_INTEGER - major ? PP_INTEGER_RANGE : PP_TAKEN;
	case 2:
	case 3:
		if (count > (uint64_t)(end - *at)) {
			return PP_MALFORMED;
		}
		if (major == 3 && !pp_utf8(*at, (size_t)count)) {
			return PP_MALFORMED;
		}
		*at += count;
		return PP_TAKEN;
	case 6:
		return PP_MALFORMED;
	case 7:
		return check_simple(count);
	default:
		break;
	}
	if (depth > PP_MAX_DEPTH) {
		return PP_TOO_DEEP;
	}
	if (major == PP_MAJOR_MAP) {
		return check_map(at, end, count, depth);
	}
	for (uint64_t i = 0; i < count; i++) {
		const enum pp_reject why = check(at, end, depth + 1);

		if (why != PP_TAKEN) {
			return why;
		}
	}
	return PP_TAKEN;
}

enum pp_reject pp_cbor_check(const uint8_t *body, size_t len)
{
	const uint8_t *at = body;
	const enum pp_reject why = check(&at, body + len, 1);

	return why == PP_TAKEN && at != body + len ? PP_MALFORMED : why;
}

/* -- reading what was checked ------------------------------------------------------------- */

const uint8_t *pp_cbor_skip(const uint8_t *at, const uint8_t *end)
{
	uint64_t left = 1;

	while (left > 0 && at < end) {
		uint8_t major;
		uint64_t count;

		if (!pp_cbor_head(&at, end, &major, &count)) {
			return end;
		}
		left--;
		if (major == 2 || major == 3) {
			at += count;
		} else if (major == PP_MAJOR_LIST) {
			left += count;
		} else if (major == PP_MAJOR_MAP) {
			left += 2 * count;
		}
	}
	return at;
}

unsigned pp_cbor_nesting(const uint8_t *at, const uint8_t *end)
{
	struct pp_items items = pp_items((struct pp_view){at, (size_t)(end - at)});
	struct pp_view item;
	unsigned most = 0;

	if (at >= end || (*at >> 5 != PP_MAJOR_LIST && *at >> 5 != PP_MAJOR_MAP)) {
		return 0;
	}
	while (pp_next(&items, &item)) {
		const unsigned inside = pp_cbor_nesting(item.at, item.at + item.len);

		most = inside > most ? inside : most;
	}
	return most + 1;
}

struct pp_items pp_items(struct pp_view value)
{
	struct pp_items items = {value.at, value.at == NULL ? NULL : value.at + value.len, 0};
	uint8_t major = 0;
	uint64_t count = 0;

	if (value.at == NULL || !pp_cbor_head(&items.at, items.end, &major, &count)) {
		return items;
	}
	if (major == PP_MAJOR_LIST) {
		items.left = count;
	} else if (major == PP_MAJOR_MAP) {
		items.left = 2 * count;
	}
	return items;
}

bool pp_next(struct pp_items *items, struct pp_view *item)
{
	const uint8_t *after;

	if (items->left == 0) {
		return false;
	}
	items->left--;
	after = pp_cbor_skip(items->at, items->end);
	item->at = items->at;
	item->len = (size_t)(after - items->at);
	items->at = after;
	return true;
}

size_t pp_count(struct pp_view value)
{
	const uint64_t left = pp_items(value).left;

	return (size_t)(value.at != NULL && *value.at >> 5 == PP_MAJOR_MAP ? left / 2 : left);
}

struct pp_view pp_field(struct pp_view map, unsigned number)
{
	struct pp_items items = pp_items(map);
	struct pp_view key, value;

	while (pp_next(&items, &key) && pp_next(&items, &value)) {
		if (*key.at >> 5 == 0 && pp_int(key, -1) == (int64_t)number) {
			return value;
		}
	}
	return (struct pp_view){NULL, 0};
}

bool pp_has(struct pp_view map, unsigned number)
{
	return pp_field(map, number).at != NULL;
}

int64_t pp_int(struct pp_view value, int64_t absent)
{
	const uint8_t *at = value.at;
	uint8_t major;
	uint64_t count;

	if (at == NULL || !pp_cbor_head(&at, at + value.len, &major, &count) || major > 1 ||
	    count > INT64_MAX) {
		return absent;
	}
	return major == 0 ? (int64_t)count : -1 - (int64_t)count;
}

bool pp_true(struct pp_view value)
{
	return value.at != NULL && *value.at == 0xF5;
}

static const uint8_t *string(struct pp_view value, uint8_t wanted, size_t *len)
{
	const uint8_t *at = value.at;
	uint8_t major;
	uint64_t count;

	*len = 0;
	if (at == NULL || !pp_cbor_head(&at, at + value.len, &major, &count) || major != wanted) {
		return NULL;
	}
	*len = (size_t)count;
	return at;
}

struct proplet_text pp_text(struct pp_view value)
{
	struct proplet_text text;

	text.at = (const char *)string(value, 3, &text.len);
	if (text.at == NULL) {
		text.at = "";
	}
	return text;
}

const uint8_t *pp_bytes(struct pp_view value, size_t *len)
{
	return string(value, 2, len);
}

int64_t pp_int_in(struct pp_view map, unsigned number)
{
	return pp_int(pp_field(map, number), 0);
}

struct proplet_text pp_text_in(struct pp_view map, unsigned number)
{
	return pp_text(pp_field(map, number));
}

const uint8_t *pp_bytes_in(struct pp_view map, unsigned number, size_t *len)
{
	return pp_bytes(pp_field(map, number), len);
}
