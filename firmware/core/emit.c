/*
 * Checked CBOR as JSON, the twin of the writers in propeller/wire/kinds.py and json_codec.py:
 * compact, only what JSON must escape is escaped.
 */
#include <string.h>

#include "base64.h"
#include "cbor.h"

static void value(const struct pp_kind *kind, struct pp_view view, bool canonical,
		  struct pp_sink sink);

static void put(struct pp_sink sink, const char *text)
{
	sink.take(sink.ctx, text, strlen(text));
}

static void hex(struct pp_sink sink, const uint8_t *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		const char pair[2] = {digits[bytes[i] >> 4], digits[bytes[i] & 15]};

		sink.take(sink.ctx, pair, 2);
	}
}

static void integer(struct pp_sink sink, int64_t number)
{
	char text[21];
	size_t at = sizeof text;
	uint64_t left = number < 0 ? (uint64_t)(-(number + 1)) + 1 : (uint64_t)number;

	do {
		text[--at] = (char)('0' + left % 10);
		left /= 10;
	} while (left > 0);
	if (number < 0) {
		text[--at] = '-';
	}
	sink.take(sink.ctx, text + at, sizeof text - at);
}

static void string(struct pp_sink sink, struct proplet_text text)
{
	static const char escaped[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
	size_t from = 0;

	put(sink, "\"");
	for (size_t i = 0; i < text.len; i++) {
		const char c = text.at[i];
		const char *const found = c == 0 ? NULL : strchr(escaped, c);
		char two[2] = {'\\', 0};

		if (found == NULL && (uint8_t)c >= 0x20) {
			continue;
		}
		sink.take(sink.ctx, text.at + from, i - from);
		from = i + 1;
		if (found != NULL) {
			two[1] = names[found - escaped];
			sink.take(sink.ctx, two, 2);
		} else {
			put(sink, "\\u00");
			hex(sink, (const uint8_t *)&c, 1);
		}
	}
	sink.take(sink.ctx, text.at + from, text.len - from);
	put(sink, "\"");
}

static void hexed(const struct pp_kind *kind, struct pp_view view, struct pp_sink sink)
{
	static const uint8_t parts[] = {4, 2, 2, 2, 6};
	size_t len;
	const uint8_t *bytes = pp_bytes(view, &len);

	put(sink, kind->flag == 2 ? "\"sha256:" : "\"");
	if (kind->flag == 1 && len == 16) {
		for (unsigned i = 0; i < sizeof parts; i++) {
			hex(sink, bytes, parts[i]);
			bytes += parts[i];
			put(sink, i + 1 < sizeof parts ? "-" : "");
		}
	} else {
		hex(sink, bytes, len);
	}
	put(sink, "\"");
}

static void packed(struct pp_view view, struct pp_sink sink)
{
	size_t len;
	const uint8_t *const bytes = pp_bytes(view, &len);

	put(sink, "\"");
	for (size_t i = 0; i < len; i += 3) {
		char four[4];

		pp_base64_put(four, bytes + i, len - i < 3 ? len - i : 3);
		sink.take(sink.ctx, four, 4);
	}
	put(sink, "\"");
}

static void list(const struct pp_kind *kind, struct pp_view view, bool canonical,
		 struct pp_sink sink)
{
	struct pp_items items = pp_items(view);
	struct pp_view item;

	put(sink, "[");
	for (bool first = true; pp_next(&items, &item); first = false) {
		put(sink, first ? "" : ",");
		if (kind->type == PP_ENV) {
			string(sink, pp_text(item));
		} else {
			value(kind->more, item, canonical, sink);
		}
	}
	put(sink, "]");
}

static int order(struct proplet_text one, struct proplet_text other)
{
	const size_t least = one.len < other.len ? one.len : other.len;
	const int found = memcmp(one.at, other.at, least);

	return found != 0 ? found : (one.len > other.len) - (one.len < other.len);
}

/* The pair whose name comes next after `last` in the order of bytes, which is that of characters. */
static bool next_name(struct pp_view map, const struct proplet_text *last, struct pp_view *name,
		      struct pp_view *held)
{
	struct pp_items items = pp_items(map);
	struct pp_view key, item;
	bool found = false;

	while (pp_next(&items, &key) && pp_next(&items, &item)) {
		const struct proplet_text text = pp_text(key);

		if (last != NULL && order(text, *last) <= 0) {
			continue;
		}
		if (!found || order(text, pp_text(*name)) < 0) {
			*name = key;
			*held = item;
			found = true;
		}
	}
	return found;
}

static void named(const struct pp_kind *kind, struct pp_view view, bool canonical,
		  struct pp_sink sink)
{
	struct pp_items items = pp_items(view);
	struct pp_view name, item;
	struct proplet_text last = {"", 0};

	put(sink, "{");
	for (bool first = true;; first = false) {
		if (canonical ? !next_name(view, first ? NULL : &last, &name, &item)
			      : !pp_next(&items, &name) || !pp_next(&items, &item)) {
			break;
		}
		last = pp_text(name);
		put(sink, first ? "" : ",");
		string(sink, last);
		put(sink, ":");
		value(kind->more, item, canonical, sink);
	}
	put(sink, "}");
}

void pp_json_shape(const struct pp_shape *shape, struct pp_view view, bool canonical,
		   uint32_t leave_out, struct pp_sink sink)
{
	bool first = true;

	put(sink, "{");
	for (unsigned i = 0; i < shape->count; i++) {
		const struct pp_field *const field =
			&shape->fields[canonical ? shape->sorted[i] : i];
		const struct pp_view held = pp_field(view, field->number);

		if (held.at == NULL ||
		    (field->number < 32 && (leave_out >> field->number & 1) != 0)) {
			continue;
		}
		put(sink, first ? "\"" : ",\"");
		first = false;
		put(sink, field->key);
		put(sink, "\":");
		value(field->kind, held, canonical, sink);
	}
	put(sink, "}");
}

static void value(const struct pp_kind *kind, struct pp_view view, bool canonical,
		  struct pp_sink sink)
{
	const int64_t number = pp_int(view, 0);

	switch ((enum pp_kind_type)kind->type) {
	case PP_TEXT:
	case PP_ID:
	case PP_REF:
		string(sink, pp_text(view));
		break;
	case PP_HEX:
		hexed(kind, view, sink);
		break;
	case PP_INT:
		integer(sink, number);
		break;
	case PP_BOOL:
		put(sink, pp_true(view) ? "true" : "false");
		break;
	case PP_ENUM:
		put(sink, "\"");
		put(sink, ((const char *const *)kind->more)[number]);
		put(sink, "\"");
		break;
	case PP_LIST:
	case PP_ENV:
		list(kind, view, canonical, sink);
		break;
	case PP_NAMED:
		named(kind, view, canonical, sink);
		break;
	case PP_PACKED:
		packed(view, sink);
		break;
	case PP_SHAPE:
		pp_json_shape(kind->more, view, canonical, 0, sink);
		break;
	}
}

void pp_json(const struct pp_kind *kind, struct pp_view view, bool canonical, uint32_t leave_out,
	     struct pp_sink sink)
{
	if (kind->type == PP_SHAPE) {
		pp_json_shape(kind->more, view, canonical, leave_out, sink);
	} else {
		value(kind, view, canonical, sink);
	}
}
