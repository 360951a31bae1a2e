/* JSON, strictly, the twin of propeller/wire/json_codec.py. */
#include "json.h"

#include <string.h>

#include "cbor.h"

struct reader {
	const uint8_t *at, *end;
};

static enum pp_reject check(struct reader *r, unsigned depth);

const uint8_t *pp_json_space(const uint8_t *at, const uint8_t *end)
{
	while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')) {
		at++;
	}
	return at;
}

static bool take(struct reader *r, char wanted)
{
	if (r->at < r->end && *r->at == (uint8_t)wanted) {
		r->at++;
		return true;
	}
	return false;
}

static bool take_word(struct reader *r, const char *word)
{
	const size_t len = strlen(word);

	if ((size_t)(r->end - r->at) < len || memcmp(r->at, word, len) != 0) {
		return false;
	}
	r->at += len;
	return true;
}

static int hex(uint8_t digit)
{
	if (digit >= '0' && digit <= '9') {
		return digit - '0';
	}
	digit |= 0x20;
	return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

static enum pp_reject check_string(struct reader *r)
{
	if (!take(r, '"')) {
		return PP_MALFORMED;
	}
	while (r->at < r->end) {
		const uint8_t c = *r->at++;

		if (c == '"') {
			return PP_TAKEN;
		}
		if (c < 0x20) {
			return PP_MALFORMED;
		}
		if (c != '\\') {
			continue;
		}
		if (r->at >= r->end || *r->at == 0 || strchr("\"\\/bfnrtu", *r->at) == NULL) {
			return PP_MALFORMED;
		}
		if (*r->at++ != 'u') {
			continue;
		}
		for (unsigned i = 0; i < 4; i++, r->at++) {
			if (r->at >= r->end || hex(*r->at) < 0) {
				return PP_MALFORMED;
			}
		}
	}
	return PP_MALFORMED;
}

static bool digits(struct reader *r)
{
	const uint8_t *const first = r->at;

	while (r->at < r->end && *r->at >= '0' && *r->at <= '9') {
		r->at++;
	}
	return r->at > first;
}

static enum pp_reject check_number(struct reader *r)
{
	const uint8_t *first;
	uint64_t value = 0;

	if (take_word(r, "NaN") || take_word(r, "Infinity") || take_word(r, "-Infinity")) {
		return PP_FLOAT;
	}
	(void)take(r, '-');
	first = r->at;
	if (!take(r, '0') && !digits(r)) {
		return PP_MALFORMED;
	}
	if (r->at < r->end && (*r->at == '.' || (*r->at | 0x20) == 'e')) {
		const bool point = *r->at++ == '.';

		if (!point && !take(r, '+')) {
			(void)take(r, '-');
		}
		return digits(r) ? PP_FLOAT : PP_MALFORMED;
	}
	for (const uint8_t *digit = first; digit < r->at; digit++) {
		value = value * 10 + (uint64_t)(*digit - '0');
		if (value > (uint64_t)PP_MAX_INTEGER) {
			return PP_INTEGER_RANGE;
		}
	}
	return PP_TAKEN;
}

static bool same_string(const uint8_t *one, const uint8_t *other)
{
	int32_t a, b;

	one++;
	other++;
	do {
		a = pp_json_char(&one);
		b = pp_json_char(&other);
	} while (a == b && a != PP_JSON_END);
	return a == b;
}

static bool seen_before(const uint8_t *first, const uint8_t *key, const uint8_t *end)
{
	const uint8_t *at = first;

	while (at < key) {
		if (same_string(at, key)) {
			return true;
		}
		at = pp_json_space(pp_json_skip(at, end), end);       /* behind the key */
		at = pp_json_space(at + 1, end);                      /* behind the colon */
		at = pp_json_space(pp_json_skip(at, end), end);       /* behind the value */
		at = pp_json_space(at + 1, end);                      /* behind the comma */
	}
	return false;
}

static enum pp_reject check_pair(struct reader *r, const uint8_t *first, unsigned depth)
{
	const uint8_t *const key = r->at;
	enum pp_reject why = check_string(r);

	if (why != PP_TAKEN) {
		return why;
	}
	r->at = pp_json_space(r->at, r->end);
	if (!take(r, ':')) {
		return PP_MALFORMED;
	}
	if (seen_before(first, key, r->end)) {
		return PP_DUPLICATE_KEY;
	}
	r->at = pp_json_space(r->at, r->end);
	return check(r, depth + 1);
}

static enum pp_reject check_inside(struct reader *r, char close, unsigned depth)
{
	const uint8_t *first;

	r->at++;
	r->at = pp_json_space(r->at, r->end);
	first = r->at;
	if (take(r, close)) {
		return PP_TAKEN;
	}
	for (unsigned i = 0;; i++) {
		const enum pp_reject why =
			close == '}' ? check_pair(r, first, depth) : check(r, depth + 1);

		if (why != PP_TAKEN) {
			return why;
		}
		if (close == '}' && i >= PP_MAX_KEYS) {
			return PP_TOO_MANY;
		}
		r->at = pp_json_space(r->at, r->end);
		if (take(r, close)) {
			return PP_TAKEN;
		}
		if (!take(r, ',')) {
			return PP_MALFORMED;
		}
		r->at = pp_json_space(r->at, r->end);
	}
}

static enum pp_reject check(struct reader *r, unsigned depth)
{
	if (r->at >= r->end) {
		return PP_MALFORMED;
	}
	switch (*r->at) {
	case '{':
		return depth > PP_JSON_DEPTH ? PP_TOO_DEEP : check_inside(r, '}', depth);
	case '[':
		return depth > PP_JSON_DEPTH ? PP_TOO_DEEP : check_inside(r, ']', depth);
	case '"':
		return check_string(r);
	case 't':
		return take_word(r, "true") ? PP_TAKEN : PP_MALFORMED;
	case 'f':
		return take_word(r, "false") ? PP_TAKEN : PP_MALFORMED;
	case 'n':
		return take_word(r, "null") ? PP_TAKEN : PP_MALFORMED;
	default:
		return check_number(r);
	}
}

enum pp_reject pp_json_check(const uint8_t *body, size_t len)
{
	struct reader r = {body, body + len};
	enum pp_reject why;

	if (!pp_utf8(body, len)) {
		return PP_MALFORMED;
	}
	r.at = pp_json_space(r.at, r.end);
	why = check(&r, 1);
	if (why == PP_TAKEN && pp_json_space(r.at, r.end) != r.end) {
		return PP_MALFORMED;
	}
	return why;
}

static const uint8_t *skip_string(const uint8_t *at)
{
	for (at++; *at != '"'; at++) {
		if (*at == '\\') {
			at++;
		}
	}
	return at + 1;
}

const uint8_t *pp_json_skip(const uint8_t *at, const uint8_t *end)
{
	unsigned depth = 0;

	do {
		if (*at == '"') {
			at = skip_string(at);
		} else if (*at == '{' || *at == '[') {
			depth++;
			at++;
		} else if (*at == '}' || *at == ']') {
			depth--;
			at++;
		} else if (*at == ',' || *at == ':' || *at <= ' ') {
			at++;
		} else {
			while (at < end && *at > ' ' && strchr(",:]}", *at) == NULL) {
				at++;
			}
		}
	} while (depth > 0 && at < end);
	return at;
}

unsigned pp_json_nesting(const uint8_t *at, const uint8_t *end)
{
	const uint8_t *const after = pp_json_skip(at, end);
	unsigned depth = 0, most = 0;

	while (at < after) {
		if (*at == '"') {
			at = skip_string(at);
			continue;
		}
		if (*at == '{' || *at == '[') {
			depth++;
			most = depth > most ? depth : most;
		} else if (*at == '}' || *at == ']') {
			depth--;
		}
		at++;
	}
	return most;
}

static uint32_t four(const uint8_t *at)
{
	uint32_t unit = 0;

	for (unsigned i = 0; i < 4; i++) {
		unit = unit << 4 | (uint32_t)hex(at[i]);
	}
	return unit;
}

static int32_t escaped(const uint8_t **at)
{
	static const char names[] = "bfnrt", means[] = "\b\f\n\r\t";
	const uint8_t c = *(*at)++;
	const char *const name = strchr(names, c);
	uint32_t unit;

	if (c != 'u') {
		return name == NULL ? c : means[name - names];
	}
	unit = four(*at);
	*at += 4;
	if (unit >= 0xD800 && unit < 0xDC00 && (*at)[0] == '\\' && (*at)[1] == 'u') {
		const uint32_t low = four(*at + 2);

		if (low >= 0xDC00 && low < 0xE000) {
			*at += 6;
			return (int32_t)(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00));
		}
	}
	return (int32_t)unit;
}

int32_t pp_json_char(const uint8_t **at)
{
	const uint8_t lead = *(*at)++;
	unsigned more;
	uint32_t point;

	if (lead == '"') {
		return PP_JSON_END;
	}
	if (lead == '\\') {
		return escaped(at);
	}
	if (lead < 0x80) {
		return lead;
	}
	more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
	point = lead & (0x3Fu >> more);
	while (more-- > 0) {
		point = point << 6 | (*(*at)++ & 0x3Fu);
	}
	return (int32_t)point;
}

bool pp_json_is(const uint8_t *quote, const char *word)
{
	const uint8_t *at = quote + 1;

	for (;; word++) {
		const int32_t c = pp_json_char(&at);

		if (c == PP_JSON_END || *word == 0) {
			return c == PP_JSON_END && *word == 0;
		}
		if (c != (uint8_t)*word) {
			return false;
		}
	}
}

int64_t pp_json_int(const uint8_t *at)
{
	const bool minus = *at == '-';
	int64_t value = 0;

	for (at += minus ? 1 : 0; *at >= '0' && *at <= '9'; at++) {
		value = value * 10 + (*at - '0');
	}
	return minus ? -value : value;
}

unsigned pp_utf8_put(uint8_t bytes[4], uint32_t point)
{
	static const uint8_t leads[4] = {0, 0xC0, 0xE0, 0xF0};
	unsigned more;

	if (point < 0x80) {
		bytes[0] = (uint8_t)point;
		return 1;
	}
	more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
	bytes[0] = (uint8_t)(leads[more] | point >> (6 * more));
	for (unsigned i = 1; i <= more; i++) {
		bytes[i] = (uint8_t)(0x80 | (point >> (6 * (more - i)) & 0x3F));
	}
	return more + 1;
}
