/*
 * From a stranger's body to checked CBOR, by the tables of the protocol: the twin of
 * propeller/wire/codec.py, shapes.py and kinds.py.
 *
 * First the whole body is checked as JSON or CBOR, then it is walked with its tables. Positions in
 * the body are plain pointers; a body is never changed.
 */
#include <string.h>

#include "base64.h"
#include "cbor.h"
#include "json.h"

#define SMALL 176 /* bytes of the longest word with a spelling: a ref, and what is too long for one */

enum type { MAP, LIST, TEXT, BYTES, INTEGER, BOOLEAN, NOTHING };

struct reader {
	const uint8_t *end;
	bool json;
	struct pp_out *out;
};

static enum pp_reject read_value(const struct reader *r, const uint8_t *at,
				 const struct pp_kind *kind);

static enum type type_of(const struct reader *r, const uint8_t *at)
{
	static const enum type majors[] = {INTEGER, INTEGER, BYTES, TEXT, LIST, MAP, NOTHING};

	if (!r->json) {
		return *at >> 5 < 7 ? majors[*at >> 5] : *at == 0xF6 ? NOTHING : BOOLEAN;
	}
	switch (*at) {
	case '{':
		return MAP;
	case '[':
		return LIST;
	case '"':
		return TEXT;
	case 't':
	case 'f':
		return BOOLEAN;
	case 'n':
		return NOTHING;
	default:
		return INTEGER;
	}
}

static int64_t integer_at(const struct reader *r, const uint8_t *at)
{
	return r->json ? pp_json_int(at)
		       : pp_int((struct pp_view){at, (size_t)(r->end - at)}, 0);
}

static int64_t low_of(const struct pp_kind *kind)
{
	return pp_limits[kind->low];
}

static int64_t high_of(const struct pp_kind *kind)
{
	return pp_limits[kind->high];
}

static const uint8_t *skip(const struct reader *r, const uint8_t *at)
{
	return r->json ? pp_json_skip(at, r->end) : pp_cbor_skip(at, r->end);
}

/* -- walking maps and lists --------------------------------------------------------------- */

struct walk {
	const struct reader *r;
	const uint8_t *at;
	uint64_t left; /* CBOR */
	bool map;
};

static struct walk walk_begin(const struct reader *r, const uint8_t *at)
{
	struct walk w = {r, at, 0, type_of(r, at) == MAP};
	uint8_t major;

	if (r->json) {
		w.at = pp_json_space(at + 1, r->end);
	} else {
		(void)pp_cbor_head(&w.at, r->end, &major, &w.left);
	}
	return w;
}

/* The next value, and its key in a map. */
static bool walk_next(struct walk *w, const uint8_t **key, const uint8_t **value)
{
	const struct reader *const r = w->r;

	if (!r->json) {
		if (w->left == 0) {
			return false;
		}
		w->left--;
		*key = w->at;
		*value = w->map ? pp_cbor_skip(w->at, r->end) : w->at;
		w->at = pp_cbor_skip(*value, r->end);
		return true;
	}
	if (*w->at == '}' || *w->at == ']') {
		return false;
	}
	*key = w->at;
	if (w->map) {
		w->at = pp_json_space(pp_json_skip(w->at, r->end), r->end) + 1;
		w->at = pp_json_space(w->at, r->end);
	}
	*value = w->at;
	w->at = pp_json_space(pp_json_skip(w->at, r->end), r->end);
	if (*w->at == ',') {
		w->at = pp_json_space(w->at + 1, r->end);
	}
	return true;
}

/* -- text --------------------------------------------------------------------------------- */

struct measure {
	size_t len;
	bool nul, lone;
};

static struct measure measure(const struct reader *r, const uint8_t *at)
{
	struct measure m = {0, false, false};

	if (!r->json) {
		const struct proplet_text text =
			pp_text((struct pp_view){at, (size_t)(r->end - at)});

		m.len = text.len;
		m.nul = text.len > 0 && memchr(text.at, 0, text.len) != NULL;
		return m;
	}
	at++;
	for (int32_t c; (c = pp_json_char(&at)) != PP_JSON_END;) {
		uint8_t bytes[4];

		m.nul |= c == 0;
		m.lone |= c >= 0xD800 && c < 0xE000;
		m.len += pp_utf8_put(bytes, (uint32_t)c);
	}
	return m;
}

static void copy_text(const struct reader *r, const uint8_t *at, size_t len)
{
	pp_put_head(r->out, 3, len);
	if (!r->json) {
		pp_put_raw(r->out, pp_text((struct pp_view){at, (size_t)(r->end - at)}).at, len);
		return;
	}
	at++;
	for (int32_t c; (c = pp_json_char(&at)) != PP_JSON_END;) {
		uint8_t bytes[4];

		pp_put_raw(r->out, bytes, pp_utf8_put(bytes, (uint32_t)c));
	}
}

static enum pp_reject read_text(const struct reader *r, const uint8_t *at, int64_t limit, bool nul)
{
	struct measure m;

	if (type_of(r, at) != TEXT) {
		return PP_WRONG_TYPE;
	}
	m = measure(r, at);
	if (m.lone) {
		return PP_BAD_TEXT;
	}
	if (m.len > (uint64_t)limit) {
		return PP_TOO_LONG;
	}
	if (m.nul && !nul) {
		return PP_BAD_TEXT;
	}
	copy_text(r, at, m.len);
	return PP_TAKEN;
}

/* The text as bytes, its length, or SIZE_MAX where it is longer than `cap`. */
static size_t small(const struct reader *r, const uint8_t *at, uint8_t *word, size_t cap)
{
	struct pp_out out;
	struct reader copy = *r;
	struct proplet_text text;

	pp_out_init(&out, word, cap);
	copy.out = &out;
	copy_text(&copy, at, measure(r, at).len);
	if (out.full) {
		return SIZE_MAX;
	}
	text = pp_text((struct pp_view){word, out.len});
	memmove(word, text.at, text.len);
	return text.len;
}

/* -- words with a spelling ---------------------------------------------------------------- */

static bool letter(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

bool pp_is_id(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		const uint8_t c = (uint8_t)text[i];

		if (!letter(c) && !digit(c) && c != '-' && c != '_') {
			return false;
		}
	}
	return len >= 1 && len <= 64;
}

/* A name of Kubernetes' kind, from `at` to the slash or the end; its length, 0 for none. */
static size_t name_len(const uint8_t *at, size_t len)
{
	size_t i = 0;

	while (i < len && ((at[i] >= 'a' && at[i] <= 'z') || digit(at[i]) || (i > 0 && at[i] == '-'))) {
		i++;
	}
	return i <= 63 ? i : 0;
}

static bool is_ref(const uint8_t *word, size_t len)
{
	size_t at = 0, name;

	while (at < len && letter(word[at])) {
		at++;
	}
	if (at < 1 || at > 32 || word[0] > 'Z') {
		return false;
	}
	for (unsigned part = 0; part < 2; part++) {
		if (at >= len || word[at] != '/') {
			return false;
		}
		at++;
		name = name_len(word + at, len - at);
		if (name == 0) {
			return false;
		}
		at += name;
	}
	return at == len;
}

static int nibble(uint8_t c)
{
	return digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Hex to bytes: style 0 plain, 1 with the dashes of a UUID, 2 after "sha256:". */
static bool unhex(const uint8_t *word, size_t len, unsigned style, size_t size, uint8_t *bytes)
{
	size_t at = 0;

	if (style == 2) {
		if (len < 7 || memcmp(word, "sha256:", 7) != 0) {
			return false;
		}
		at = 7;
	}
	for (size_t i = 0; i < size; i++) {
		if (style == 1 && (i == 4 || i == 6 || i == 8 || i == 10)) {
			if (at >= len || word[at++] != '-') {
				return false;
			}
		}
		if (len - at < 2 || nibble(word[at]) < 0 || nibble(word[at + 1]) < 0) {
			return false;
		}
		bytes[i] = (uint8_t)(nibble(word[at]) << 4 | nibble(word[at + 1]));
		at += 2;
	}
	return at == len;
}

static enum pp_reject read_hex(const struct reader *r, const uint8_t *at, const struct pp_kind *kind)
{
	const size_t size = (size_t)high_of(kind);
	uint8_t word[SMALL], bytes[32];
	size_t len;

	if (type_of(r, at) != (r->json ? TEXT : BYTES)) {
		return PP_WRONG_TYPE;
	}
	if (r->json) {
		len = small(r, at, word, sizeof word);
		if (len == SIZE_MAX || !unhex(word, len, kind->flag, size, bytes)) {
			return PP_BAD_ID;
		}
		pp_put_bytes(r->out, bytes, size);
		return PP_TAKEN;
	}
	at = pp_bytes((struct pp_view){at, (size_t)(r->end - at)}, &len);
	if (len != size) {
		return PP_BAD_ID;
	}
	pp_put_bytes(r->out, at, len);
	return PP_TAKEN;
}

static enum pp_reject read_spelled(const struct reader *r, const uint8_t *at, bool ref)
{
	uint8_t word[SMALL];
	size_t len;

	if (type_of(r, at) != TEXT) {
		return PP_WRONG_TYPE;
	}
	len = small(r, at, word, sizeof word);
	if (len == SIZE_MAX || !(ref ? is_ref(word, len) : pp_is_id((const char *)word, len))) {
		return PP_BAD_ID;
	}
	pp_put_text(r->out, (const char *)word, len);
	return PP_TAKEN;
}

static enum pp_reject read_enum(const struct reader *r, const uint8_t *at, const struct pp_kind *kind)
{
	const char *const *const words = kind->more;
	int64_t index;

	if (type_of(r, at) != (r->json ? TEXT : INTEGER)) {
		return PP_WRONG_TYPE;
	}
	if (r->json) {
		for (index = 0; index < high_of(kind) && !pp_json_is(at, words[index]); index++) {
		}
	} else {
		index = integer_at(r, at);
	}
	if (index < 0 || index >= high_of(kind)) {
		return PP_BAD_ENUM;
	}
	pp_put_int(r->out, index);
	return PP_TAKEN;
}

static enum pp_reject read_packed(const struct reader *r, const uint8_t *at, int64_t limit)
{
	size_t len, count, mark;
	const uint8_t *bytes;

	if (type_of(r, at) != (r->json ? TEXT : BYTES)) {
		return PP_WRONG_TYPE;
	}
	if (!r->json) {
		bytes = pp_bytes((struct pp_view){at, (size_t)(r->end - at)}, &len);
		if (len > (uint64_t)limit) {
			return PP_TOO_LONG;
		}
		pp_put_bytes(r->out, bytes, len);
		return PP_TAKEN;
	}
	len = measure(r, at).len;
	if (len > 4 * (((uint64_t)limit + 2) / 3)) {
		return PP_TOO_LONG;
	}
	/* The text is written where the bytes will be, then turned into them in place. */
	mark = r->out->len;
	copy_text(r, at, len);
	if (r->out->full) {
		return PP_TAKEN; /* told by the caller */
	}
	{
		uint8_t *const start = r->out->at + mark;
		const struct proplet_text text =
			pp_text((struct pp_view){start, r->out->len - mark});

		if (!pp_base64_read(text.at, text.len, NULL, 0, &count)) {
			return PP_BAD_TEXT;
		}
		if (count > (uint64_t)limit) {
			return PP_TOO_LONG;
		}
		/* Never ahead of what is read: three bytes for four characters. */
		memmove(start, text.at, text.len);
		(void)pp_base64_read((const char *)start, text.len, start, text.len, &count);
		r->out->len = mark + count;
		if (r->out->cap - r->out->len < 5) {
			r->out->full = true;
			return PP_TAKEN;
		}
		{
			struct pp_out head;
			uint8_t bytes_of[9];

			pp_out_init(&head, bytes_of, sizeof bytes_of);
			pp_put_head(&head, 2, count);
			memmove(start + head.len, start, count);
			memcpy(start, bytes_of, head.len);
			r->out->len += head.len;
		}
	}
	return PP_TAKEN;
}

/* -- lists, maps, messages ---------------------------------------------------------------- */

static enum pp_reject read_env(const struct reader *r, const uint8_t *at, int64_t limit)
{
	const size_t mark = r->out->len;
	const enum pp_reject why = read_text(r, at, limit, false);
	struct proplet_text text;

	if (why != PP_TAKEN || r->out->full) {
		return why;
	}
	text = pp_text((struct pp_view){r->out->at + mark, r->out->len - mark});
	if (text.len == 0 || text.at[0] == '=' || memchr(text.at, '=', text.len) == NULL) {
		return PP_BAD_TEXT;
	}
	return PP_TAKEN;
}

static enum pp_reject read_items(const struct reader *r, const uint8_t *at,
				 const struct pp_kind *kind)
{
	struct walk w = walk_begin(r, at);
	const size_t mark = pp_put_open(r->out);
	const uint8_t *key, *value;
	int64_t count = 0;

	while (walk_next(&w, &key, &value)) {
		enum pp_reject why;

		if (++count > high_of(kind)) {
			return PP_TOO_MANY;
		}
		if (kind->type == PP_NAMED) {
			why = read_text(r, key, low_of(kind), false);
			if (why != PP_TAKEN) {
				return why;
			}
		}
		why = kind->type == PP_ENV ? read_env(r, value, low_of(kind))
					   : read_value(r, value, kind->more);
		if (why != PP_TAKEN) {
			return why;
		}
	}
	pp_put_close(r->out, mark, kind->type == PP_NAMED ? PP_MAJOR_MAP : PP_MAJOR_LIST,
		     (size_t)count);
	return PP_TAKEN;
}

static unsigned place_of(const struct reader *r, const struct pp_shape *shape, const uint8_t *key)
{
	unsigned i;

	for (i = 0; i < shape->count; i++) {
		if (r->json ? pp_json_is(key, shape->fields[i].key)
			    : type_of(r, key) == INTEGER &&
				      integer_at(r, key) == shape->fields[i].number) {
			break;
		}
	}
	return i;
}

#define MOST_FIELDS 36

static enum pp_reject find_fields(const struct reader *r, const struct pp_shape *shape,
				  const uint8_t *at, const uint8_t *where[MOST_FIELDS])
{
	struct walk w = walk_begin(r, at);
	const uint8_t *key, *value;

	while (walk_next(&w, &key, &value)) {
		const unsigned place = place_of(r, shape, key);

		if (place < shape->count) {
			where[place] = value;
		} else if ((r->json ? pp_json_nesting(value, r->end)
				    : pp_cbor_nesting(value, skip(r, value))) > 4) {
			return PP_TOO_DEEP;
		}
	}
	return PP_TAKEN;
}

static enum pp_reject check_given(const struct pp_shape *shape, const uint8_t *const *where)
{
	for (unsigned i = 0; i < shape->count; i++) {
		if (where[i] == NULL && shape->fields[i].required) {
			return PP_MISSING_FIELD;
		}
	}
	if (shape->first != 0) {
		const bool one = where[shape->first - 1] != NULL;
		const bool other = where[shape->second - 1] != NULL;

		if ((one && other) || (shape->one_needed && !one && !other)) {
			return PP_CONFLICT;
		}
	}
	return PP_TAKEN;
}

static enum pp_reject read_shape(const struct reader *r, const uint8_t *at,
				 const struct pp_shape *shape)
{
	const uint8_t *where[MOST_FIELDS] = {NULL};
	size_t mark, count = 0;
	enum pp_reject why;

	if (type_of(r, at) != MAP) {
		return PP_WRONG_TYPE;
	}
	why = find_fields(r, shape, at, where);
	if (why != PP_TAKEN) {
		return why;
	}
	mark = pp_put_open(r->out);
	for (unsigned i = 0; i < shape->count; i++) {
		const struct pp_field *const field = &shape->fields[i];
		const size_t before = r->out->len;
		const uint8_t *const absent = pp_absents[field->absent];
		size_t after;

		if (where[i] == NULL) {
			continue;
		}
		pp_put_int(r->out, field->number);
		after = r->out->len;
		why = read_value(r, where[i], field->kind);
		if (why != PP_TAKEN) {
			return why;
		}
		if (!r->out->full && field->absent != 0 && r->out->len - after == absent[0] &&
		    memcmp(r->out->at + after, absent + 1, absent[0]) == 0) {
			r->out->len = before; /* it says what absence says */
		} else {
			count++;
		}
	}
	pp_put_close(r->out, mark, PP_MAJOR_MAP, count);
	return check_given(shape, where);
}

static enum pp_reject read_value(const struct reader *r, const uint8_t *at,
				 const struct pp_kind *kind)
{
	int64_t value;

	switch ((enum pp_kind_type)kind->type) {
	case PP_TEXT:
		return read_text(r, at, high_of(kind), kind->flag != 0);
	case PP_ID:
	case PP_REF:
		return read_spelled(r, at, kind->type == PP_REF);
	case PP_HEX:
		return read_hex(r, at, kind);
	case PP_ENUM:
		return read_enum(r, at, kind);
	case PP_PACKED:
		return read_packed(r, at, high_of(kind));
	case PP_SHAPE:
		return read_shape(r, at, kind->more);
	case PP_BOOL:
		if (type_of(r, at) != BOOLEAN) {
			return PP_WRONG_TYPE;
		}
		pp_put_bool(r->out, r->json ? *at == 't' : *at == 0xF5);
		return PP_TAKEN;
	case PP_INT:
		if (type_of(r, at) != INTEGER) {
			return PP_WRONG_TYPE;
		}
		value = integer_at(r, at);
		if (value < low_of(kind) || value > high_of(kind)) {
			return PP_INTEGER_RANGE;
		}
		pp_put_int(r->out, value);
		return PP_TAKEN;
	case PP_LIST:
	case PP_ENV:
	case PP_NAMED:
		if (type_of(r, at) != (kind->type == PP_NAMED ? MAP : LIST)) {
			return PP_WRONG_TYPE;
		}
		return read_items(r, at, kind);
	}
	return PP_WRONG_TYPE;
}

/* -- bodies ------------------------------------------------------------------------------- */

static enum pp_reject check_version(const struct reader *r, const uint8_t *at)
{
	struct walk w = walk_begin(r, at);
	const uint8_t *key, *value;

	while (walk_next(&w, &key, &value)) {
		const bool found = r->json ? pp_json_is(key, "v")
					   : type_of(r, key) == INTEGER && integer_at(r, key) == 0;

		if (found) {
			return type_of(r, value) == INTEGER && integer_at(r, value) > 1
				       ? PP_UNSUPPORTED_VERSION
				       : PP_TAKEN;
		}
	}
	return PP_TAKEN;
}

static enum pp_reject begin(struct reader *r, const uint8_t *body, size_t len, bool list,
			    struct pp_out *out)
{
	const uint8_t first = len > 0 ? body[0] : 0;

	r->end = body + len;
	r->out = out;
	r->json = first == (list ? '[' : '{');
	if (len > (list ? PP_MAX_LIST : PP_MAX_BODY)) {
		return PP_TOO_BIG;
	}
	if (r->json) {
		return pp_json_check(body, len);
	}
	return first >> 5 == (list ? PP_MAJOR_LIST : PP_MAJOR_MAP) ? pp_cbor_check(body, len)
								   : PP_NOT_MAP;
}

enum pp_reject pp_read(const struct pp_shape *shape, const uint8_t *body, size_t len,
		       struct pp_out *out)
{
	struct reader r;
	enum pp_reject why = begin(&r, body, len, false, out);

	if (why == PP_TAKEN) {
		why = check_version(&r, body);
	}
	if (why == PP_TAKEN) {
		why = read_shape(&r, body, shape);
	}
	return why == PP_TAKEN && out->full ? PP_TOO_BIG : why;
}

enum pp_reject pp_read_list(const struct pp_kind *list, const uint8_t *body, size_t len,
			    struct pp_out *out)
{
	struct reader r;
	enum pp_reject why = begin(&r, body, len, true, out);

	if (why == PP_TAKEN) {
		why = read_items(&r, body, list);
	}
	return why == PP_TAKEN && out->full ? PP_TOO_BIG : why;
}
