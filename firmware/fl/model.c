/* See model.h. */
#include "model.h"

#include <string.h>

#define WINDOW 64
#define MAX_NAME 1024 /* bytes of a tensor's name as it is written */
#define MAX_HEADER (UINT32_C(1) << 22)
#define MAX_DEPTH 8

static const char no_model[] = "its model is no safetensors file that this proplet reads";
static const char no_layout[] = "the layout of its model is not spelled as manifests are";
static const char unread[] = "its model cannot be read from storage";

/* -- a manifest ---------------------------------------------------------------------------- */

/* {"tensors":[{"aggregate":"mean","dtype":"F32","name":"w","shape":[2,3],"trainable":true}],"v":1}
 * What stands between the parts that vary; a part ends where its literal is through. */
enum { BEFORE, AGGREGATE, NAME, SHAPE, TRAINABLE, NEXT, AFTER };

static const char *const literals[] = {
	[BEFORE] = "{\"tensors\":[{\"aggregate\":\"",
	[AGGREGATE] = ",\"dtype\":\"F32\",\"name\":\"",
	[NAME] = ",\"shape\":[",
	[SHAPE] = ",\"trainable\":",
	[TRAINABLE] = "",
	[NEXT] = "{\"aggregate\":\"",
	[AFTER] = ",\"v\":1}",
};

/* Before its literal each part has something that varies; this says that it is through. */
#define READING 0x80

void pf_layout_init(struct pf_layout *layout)
{
	memset(layout, 0, sizeof(*layout));
}

static void go_to(struct pf_layout *l, uint8_t part, bool reading)
{
	l->part = part;
	l->matched = reading ? READING : 0;
	l->length = 0;
	l->number = 0;
	l->escaped = false;
}

static void take_text(struct pf_layout *l, uint8_t byte)
{
	if (!l->escaped && byte == '"') {
		l->wrong = l->length == 0;
		l->matched = 0; /* its literal follows */
		return;
	}
	l->escaped = !l->escaped && byte == '\\';
	l->wrong = ++l->length > MAX_NAME || byte < 0x20;
}

static void end_number(struct pf_layout *l)
{
	l->wrong = l->length == 0 || l->number == 0;
	l->product = l->product * l->number;
	l->wrong = l->wrong || l->product > PF_MAX_COUNT;
	l->number = l->length = 0;
}

static void take_shape(struct pf_layout *l, uint8_t byte)
{
	if (byte >= '0' && byte <= '9') {
		l->wrong = l->length == 1 && l->number == 0; /* 07 */
		l->number = 10 * l->number + (uint64_t)(byte - '0');
		l->length++;
		l->wrong = l->wrong || l->number > PF_MAX_COUNT;
	} else if (byte == ',' && l->length > 0) {
		end_number(l);
		l->escaped = true; /* one must follow */
		return;
	} else if (byte == ']') {
		if (l->length > 0 || l->escaped) {
			end_number(l);
		}
		l->count += l->product;
		l->wrong = l->wrong || l->count > PF_MAX_COUNT;
		l->matched = 0;
	} else {
		l->wrong = true;
	}
	l->escaped = false;
}

static void take_bool(struct pf_layout *l, uint8_t byte)
{
	static const char *const words[] = {"true}", "false}"};
	const char *word = words[l->escaped];

	if (l->length == 0) {
		l->escaped = byte == 'f';
		word = words[l->escaped];
	}
	l->wrong = (uint8_t)word[l->length++] != byte;
	if (word[l->length] == '\0') {
		go_to(l, NEXT, true);
	}
}

/* Behind a tensor: another one, or the end of the list. */
static void take_next(struct pf_layout *l, uint8_t byte)
{
	l->wrong = byte != ',' && byte != ']';
	go_to(l, byte == ',' ? NEXT : AFTER, false);
}

static void take_literal(struct pf_layout *l, uint8_t byte)
{
	const char *literal = literals[l->part];

	l->wrong = (uint8_t)literal[l->matched++] != byte;
	if (l->wrong || literal[l->matched] != '\0') {
		return;
	}
	switch (l->part) {
	case BEFORE:
	case NEXT:
		go_to(l, AGGREGATE, true);
		break;
	case AGGREGATE:
		go_to(l, NAME, true);
		break;
	case NAME:
		l->product = 1;
		go_to(l, SHAPE, true);
		break;
	case SHAPE:
		go_to(l, TRAINABLE, true);
		break;
	default:
		l->over = true;
	}
}

void pf_layout_take(struct pf_layout *l, uint8_t byte)
{
	if (l->wrong || l->over) {
		l->wrong = true;
		return;
	}
	if (l->matched != READING) {
		take_literal(l, byte);
		return;
	}
	switch (l->part) {
	case AGGREGATE:
	case NAME:
		take_text(l, byte);
		break;
	case SHAPE:
		take_shape(l, byte);
		break;
	case TRAINABLE:
		take_bool(l, byte);
		break;
	default:
		take_next(l, byte);
	}
}

bool pf_layout_whole(const struct pf_layout *l)
{
	return l->over && !l->wrong;
}

/* -- bytes of a blob ----------------------------------------------------------------------- */

struct bytes {
	const struct proplet_port *port;
	const uint8_t *digest;
	uint32_t at, end; /* of the file: the next byte, where to stop */
	uint32_t first;   /* offset of the window */
	uint8_t held;
	uint8_t window[WINDOW];
	bool broken;
};

static void open_bytes(struct bytes *b, const struct proplet_port *port, const uint8_t *digest,
		       uint32_t from, uint32_t end)
{
	memset(b, 0, sizeof(*b));
	b->port = port;
	b->digest = digest;
	b->at = b->first = from;
	b->end = end;
}

/* The next byte, -1 at the end or where it cannot be read. */
static int next_byte(struct bytes *b)
{
	if (b->at >= b->end || b->broken) {
		return -1;
	}
	if (b->at - b->first >= b->held) {
		const uint32_t left = b->end - b->at;

		b->first = b->at;
		b->held = (uint8_t)(left < WINDOW ? left : WINDOW);
		b->broken = b->port->blob_read(b->port->ctx, b->digest, b->at, b->window,
					       b->held) != PROPLET_OK;
		if (b->broken) {
			return -1;
		}
	}
	return b->window[b->at++ - b->first];
}

const char *pf_layout_read(const struct proplet_port *port, const uint8_t digest[32], uint32_t size,
			   uint32_t *count)
{
	struct pf_layout layout;
	struct bytes b;
	int byte;

	open_bytes(&b, port, digest, 0, size);
	pf_layout_init(&layout);
	while ((byte = next_byte(&b)) >= 0) {
		pf_layout_take(&layout, (uint8_t)byte);
	}
	*count = (uint32_t)layout.count;
	if (b.broken) {
		return unread;
	}
	return pf_layout_whole(&layout) ? NULL : no_layout;
}

/* -- the header of a model ----------------------------------------------------------------- */

struct header {
	struct bytes b;
	struct proplet_hash hash;
	struct pf_layout layout;
	uint8_t carried[32]; /* of the manifest, to be hashed */
	uint8_t count;
	bool wrong, hash_wrong, here;
};

static void hash_carried(struct header *h)
{
	const struct proplet_port *port = h->b.port;

	h->hash_wrong = h->hash_wrong || port->hash_add(port->ctx, &h->hash, h->carried,
							h->count) != PROPLET_OK;
	h->count = 0;
}

/* A byte of the manifest that the header carries as a text. */
static void carry(struct header *h, uint8_t byte)
{
	pf_layout_take(&h->layout, byte);
	h->carried[h->count++] = byte;
	if (h->count == sizeof(h->carried)) {
		hash_carried(h);
	}
}

static int hex4(struct header *h)
{
	int value = 0;

	for (unsigned i = 0; i < 4; i++) {
		const int c = next_byte(&h->b);
		const int low = c | 0x20;

		if (c >= '0' && c <= '9') {
			value = value * 16 + c - '0';
		} else if (low >= 'a' && low <= 'f') {
			value = value * 16 + low - 'a' + 10;
		} else {
			h->wrong = true;
			return 0;
		}
	}
	return value;
}

static void carry_point(struct header *h, int point)
{
	if (point >= 0xD800 && point < 0xE000) {
		h->wrong = true; /* no name of a tensor */
	} else if (point < 0x80) {
		carry(h, (uint8_t)point);
	} else if (point < 0x800) {
		carry(h, (uint8_t)(0xC0 | point >> 6));
		carry(h, (uint8_t)(0x80 | (point & 0x3F)));
	} else {
		carry(h, (uint8_t)(0xE0 | point >> 12));
		carry(h, (uint8_t)(0x80 | (point >> 6 & 0x3F)));
		carry(h, (uint8_t)(0x80 | (point & 0x3F)));
	}
}

/* The rest of a text, its quote taken: carried to the layout where `layout`, and compared. */
static bool text_is(struct header *h, const char *word, bool layout)
{
	static const char escapes[] = "\"\\/bfnrt", plain[] = "\"\\/\b\f\n\r\t";
	const size_t len = strlen(word);
	size_t at = 0;
	bool same = true;

	for (;;) {
		int c = next_byte(&h->b);
		int point = -1;

		if (c < 0x20 || h->wrong) {
			h->wrong = true;
			return false;
		}
		if (c == '"') {
			return same && at == len;
		}
		if (c == '\\') {
			const char *found;

			c = next_byte(&h->b);
			found = c <= 0 ? NULL : strchr(escapes, c);
			point = c == 'u' ? hex4(h) : found == NULL ? -1 : plain[found - escapes];
			h->wrong = h->wrong || point < 0;
			c = point;
		}
		same = same && at < len && (uint8_t)word[at] == c;
		at++;
		if (layout && point >= 0) {
			carry_point(h, point);
		} else if (layout) {
			carry(h, (uint8_t)c);
		}
	}
}

static int next_mark(struct header *h)
{
	int c;

	do {
		c = next_byte(&h->b);
	} while (c == ' ');
	return c;
}

/* Any value whose first byte is `c`; returns the byte behind it. */
static int skip(struct header *h, int c)
{
	unsigned depth = 0;

	for (; !h->wrong; c = next_mark(h)) {
		if (c < 0) {
			h->wrong = true;
		} else if (c == '"') {
			(void)text_is(h, "", false);
		} else if (c == '{' || c == '[') {
			h->wrong = ++depth > MAX_DEPTH;
		} else if (c == '}' || c == ']') {
			if (depth == 0) {
				return c;
			}
			depth--;
		} else if (c == ',' && depth == 0) {
			return c;
		}
	}
	return -1;
}

static void read_metadata(struct header *h)
{
	int c = next_mark(h);

	while (c == '"' && !h->wrong) {
		const bool wanted = text_is(h, "propeller.layout", false);

		h->wrong = h->wrong || next_mark(h) != ':' || next_mark(h) != '"' ||
			   (wanted && h->here);
		if (h->wrong) {
			return;
		}
		h->here = h->here || wanted;
		(void)text_is(h, "", wanted);
		c = next_mark(h);
		if (c == ',') {
			c = next_mark(h);
			h->wrong = h->wrong || c != '"';
		}
	}
	h->wrong = h->wrong || c != '}';
}

static void read_header(struct header *h)
{
	int c;

	h->wrong = next_mark(h) != '{';
	c = next_mark(h);
	while (c == '"' && !h->wrong) {
		const bool metadata = text_is(h, "__metadata__", false);

		if (h->wrong || next_mark(h) != ':') {
			h->wrong = true;
			return;
		}
		c = next_mark(h);
		if (metadata) {
			h->wrong = c != '{';
			if (!h->wrong) {
				read_metadata(h);
			}
			c = next_mark(h);
		} else {
			c = skip(h, c);
		}
		if (c == ',') {
			c = next_mark(h);
			h->wrong = h->wrong || c != '"';
		}
	}
	h->wrong = h->wrong || c != '}' || next_mark(h) >= 0;
}

const char *pf_model_read(const struct proplet_port *port, const uint8_t digest[32], uint32_t size,
			  struct pf_model *model)
{
	struct header h;
	uint8_t head[8];
	uint64_t length = 0;

	memset(&h, 0, sizeof(h));
	if (size < sizeof(head)) {
		return no_model;
	}
	if (port->blob_read(port->ctx, digest, 0, head, sizeof(head)) != PROPLET_OK) {
		return unread;
	}
	for (unsigned i = 8; i-- > 0;) {
		length = length << 8 | head[i];
	}
	if (length > MAX_HEADER || length > size - 8 || (size - 8 - length) % 4 != 0) {
		return no_model;
	}
	model->at = 8 + (uint32_t)length;
	model->count = (size - model->at) / 4;
	pf_layout_init(&h.layout);
	open_bytes(&h.b, port, digest, 8, model->at);
	h.hash_wrong = port->hash_begin(port->ctx, &h.hash) != PROPLET_OK;
	read_header(&h);
	hash_carried(&h);
	if (port->hash_end(port->ctx, &h.hash, model->layout) != PROPLET_OK || h.hash_wrong ||
	    h.b.broken) {
		return unread;
	}
	if (h.wrong || model->count == 0 || model->count > PF_MAX_COUNT) {
		return no_model;
	}
	model->has_layout = h.here;
	if (h.here && (!pf_layout_whole(&h.layout) || h.layout.count != model->count)) {
		return no_layout;
	}
	return NULL;
}
