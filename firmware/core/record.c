/* A run's record in storage: a CBOR map, keys by number, given once. */
#include "inside.h"

enum {
	VERSION, UID, RUN, DIGEST, CAUSE, MODE, STATE, EXIT, RESULT, BLOB, BLOB_SIZE, ERROR, STARTS,
	FAILURES, STARTED, ENDED, TOMBSTONE, ORDER, SPENT
};

static void put_number(struct pp_out *out, unsigned key, int64_t number)
{
	pp_put_int_in(out, key, number);
}

static void put_bytes(struct pp_out *out, unsigned key, const uint8_t *bytes, size_t len)
{
	pp_put_bytes_in(out, key, bytes, len);
}

static void put_text(struct pp_out *out, unsigned key, struct proplet_text text)
{
	pp_put_text_in(out, key, text.at, text.len);
}

void pp_record_write(struct pp_out *out, const struct pp_record *r)
{
	pp_put_map(out, 12u + r->has_exit + r->has_result + 2u * r->has_blob + 2u * r->tombstone +
				(r->spent != 0));
	put_number(out, VERSION, 1);
	put_bytes(out, UID, r->uid, 16);
	put_bytes(out, RUN, r->run, 16);
	put_bytes(out, DIGEST, r->digest, 32);
	put_text(out, CAUSE, r->cause);
	put_number(out, MODE, r->mode);
	put_number(out, STATE, r->state);
	if (r->has_exit) {
		put_number(out, EXIT, r->exit);
	}
	if (r->has_result) {
		put_text(out, RESULT, r->result);
	}
	if (r->has_blob) {
		put_bytes(out, BLOB, r->blob, 32);
		put_number(out, BLOB_SIZE, (int64_t)r->blob_size);
	}
	put_text(out, ERROR, r->error);
	put_number(out, STARTS, r->starts);
	put_number(out, FAILURES, r->failures);
	put_number(out, STARTED, r->started);
	put_number(out, ENDED, r->ended);
	if (r->tombstone) {
		pp_put_int(out, TOMBSTONE);
		pp_put_bool(out, true);
		put_number(out, ORDER, r->order);
	}
	if (r->spent != 0) {
		put_number(out, SPENT, r->spent);
	}
}

bool pp_record_read(const uint8_t *data, size_t len, struct pp_record *r)
{
	const struct pp_view map = {data, len};
	size_t uid, run, digest, blob;

	memset(r, 0, sizeof *r);
	if (pp_cbor_check(data, len) != PP_TAKEN || pp_int_in(map, VERSION) != 1) {
		return false;
	}
	r->uid = pp_bytes_in(map, UID, &uid);
	r->run = pp_bytes_in(map, RUN, &run);
	r->digest = pp_bytes_in(map, DIGEST, &digest);
	r->blob = pp_bytes_in(map, BLOB, &blob);
	r->cause = pp_text_in(map, CAUSE);
	r->result = pp_text_in(map, RESULT);
	r->error = pp_text_in(map, ERROR);
	r->mode = (uint8_t)pp_int_in(map, MODE);
	r->state = (uint8_t)pp_int_in(map, STATE);
	r->has_exit = pp_has(map, EXIT);
	r->has_result = pp_has(map, RESULT);
	r->has_blob = blob == 32;
	r->exit = pp_int_in(map, EXIT);
	r->blob_size = (uint64_t)pp_int_in(map, BLOB_SIZE);
	r->starts = (uint32_t)pp_int_in(map, STARTS);
	r->failures = (uint32_t)pp_int_in(map, FAILURES);
	r->started = pp_int_in(map, STARTED);
	r->ended = pp_int_in(map, ENDED);
	r->tombstone = pp_true(pp_field(map, TOMBSTONE));
	r->order = (uint32_t)pp_int_in(map, ORDER);
	r->spent = pp_int_in(map, SPENT);
	return uid == 16 && run == 16 && digest == 32 && r->state <= PP_REFUSED;
}
