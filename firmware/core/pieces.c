/* Pieces of blobs, the twin of propeller/wire/blob_frames.py: 56 bytes of head, then data. */
#include <string.h>

#include "proplet/wire.h"

enum { CHUNK = 1, PUT = 2 };

static const char *const words[] = {"",     "unknown_digest", "not_yours", "out_of_range",
				    "busy", "unavailable"};
#define ERRORS (sizeof words / sizeof words[0] - 1)

struct head {
	uint8_t third;
	uint32_t fourth;
	uint64_t off, total;
	const uint8_t *digest;
};

const char *pp_blob_error_word(uint8_t error)
{
	return words[error <= ERRORS ? error : 0];
}

static uint64_t big_endian(const uint8_t *at, unsigned len)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < len; i++) {
		value = value << 8 | at[i];
	}
	return value;
}

static void put_big_endian(uint8_t *at, uint64_t value, unsigned len)
{
	for (unsigned i = 0; i < len; i++) {
		at[i] = (uint8_t)(value >> (8 * (len - 1 - i)));
	}
}

static enum pp_reject read_head(const uint8_t *body, size_t len, uint8_t wanted, struct head *head)
{
	if (len == 0 || body[0] != 'B' || len < PP_CHUNK_HEADER) {
		return PP_MALFORMED;
	}
	if (body[1] != 1) {
		return PP_UNSUPPORTED_VERSION;
	}
	if (body[2] != wanted) {
		return PP_MALFORMED;
	}
	head->third = body[3];
	head->fourth = (uint32_t)big_endian(body + 4, 4);
	head->off = big_endian(body + 8, 8);
	head->total = big_endian(body + 16, 8);
	head->digest = body + 24;
	return PP_TAKEN;
}

static enum pp_reject check_place(uint64_t off, size_t size, uint64_t total)
{
	if (off > (uint64_t)PP_MAX_INTEGER || total > (uint64_t)PP_MAX_INTEGER) {
		return PP_INTEGER_RANGE;
	}
	if (size > PP_MAX_DATA) {
		return PP_TOO_LONG;
	}
	return size > 0 && off + size > total ? PP_INTEGER_RANGE : PP_TAKEN;
}

enum pp_reject pp_chunk_read(const uint8_t *body, size_t len, struct pp_chunk *chunk)
{
	struct head head;
	const enum pp_reject why = read_head(body, len, CHUNK, &head);

	if (why != PP_TAKEN) {
		return why;
	}
	if (head.third > ERRORS) {
		return PP_BAD_ENUM;
	}
	chunk->error = head.third;
	chunk->req = head.fourth;
	chunk->off = head.off;
	chunk->total = head.total;
	chunk->digest = head.digest;
	chunk->data = body + PP_CHUNK_HEADER;
	chunk->len = len - PP_CHUNK_HEADER;
	if (chunk->error != 0 && chunk->len != 0) {
		return PP_CONFLICT;
	}
	return check_place(chunk->off, chunk->len, chunk->total);
}

enum pp_reject pp_put_read(const uint8_t *body, size_t len, struct pp_put *put)
{
	struct head head;
	const enum pp_reject why = read_head(body, len, PUT, &head);
	size_t start;

	if (why != PP_TAKEN) {
		return why;
	}
	start = PP_CHUNK_HEADER + 16u + head.third;
	if (head.fourth != 0 || len < start) {
		return PP_MALFORMED;
	}
	put->inst = body + PP_CHUNK_HEADER;
	put->id.at = (const char *)body + PP_CHUNK_HEADER + 16;
	put->id.len = head.third;
	if (!pp_is_id(put->id.at, put->id.len)) {
		return PP_BAD_ID;
	}
	put->off = head.off;
	put->total = head.total;
	put->digest = head.digest;
	put->data = body + start;
	put->len = len - start;
	return check_place(put->off, put->len, put->total);
}

static void write_head(struct pp_out *out, uint8_t kind, const struct head *head)
{
	uint8_t bytes[PP_CHUNK_HEADER] = {'B', 1, kind, head->third};

	put_big_endian(bytes + 4, head->fourth, 4);
	put_big_endian(bytes + 8, head->off, 8);
	put_big_endian(bytes + 16, head->total, 8);
	memcpy(bytes + 24, head->digest, 32);
	pp_put_raw(out, bytes, sizeof bytes);
}

enum pp_reject pp_chunk_write(struct pp_out *out, const struct pp_chunk *chunk)
{
	const struct head head = {chunk->error, chunk->req, chunk->off, chunk->total, chunk->digest};

	if (chunk->error != 0 && chunk->len != 0) {
		return PP_CONFLICT;
	}
	write_head(out, CHUNK, &head);
	pp_put_raw(out, chunk->data, chunk->len);
	return check_place(chunk->off, chunk->len, chunk->total);
}

enum pp_reject pp_put_write(struct pp_out *out, const struct pp_put *put)
{
	const struct head head = {(uint8_t)put->id.len, 0, put->off, put->total, put->digest};

	if (!pp_is_id(put->id.at, put->id.len)) {
		return PP_BAD_ID;
	}
	write_head(out, PUT, &head);
	pp_put_raw(out, put->inst, 16);
	pp_put_raw(out, put->id.at, put->id.len);
	return check_place(put->off, put->len, put->total);
}
