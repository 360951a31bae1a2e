/*
 * Every reader of the wire, fed anything. Besides not falling over: what is taken is CBOR in its one
 * spelling, reads back to itself, and its JSON reads back to the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../core/cbor.h"
#include "../core/json.h"
#include "proplet/agent.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t first[1 << 16], second[1 << 16], text[1 << 17];
static size_t text_len;

static void require(int what)
{
	if (!what) {
		abort();
	}
}

static void take(void *ctx, const void *piece, size_t len)
{
	(void)ctx;
	require(len <= sizeof text - text_len);
	memcpy(text + text_len, piece, len);
	text_len += len;
}

static void message(const struct pp_shape *shape, const uint8_t *body, size_t len)
{
	struct pp_out out, again;

	pp_out_init(&out, first, sizeof first);
	if (pp_read(shape, body, len, &out) != PP_TAKEN) {
		return;
	}
	require(pp_cbor_check(first, out.len) == PP_TAKEN);
	pp_out_init(&again, second, sizeof second);
	require(pp_read(shape, first, out.len, &again) == PP_TAKEN && again.len == out.len &&
		memcmp(first, second, out.len) == 0);
	for (unsigned canonical = 0; canonical < 2; canonical++) {
		text_len = 0;
		pp_json_shape(shape, (struct pp_view){first, out.len}, canonical == 1, 0,
			      (struct pp_sink){take, NULL});
		if (text_len > PP_MAX_BODY) {
			continue;
		}
		pp_out_init(&again, second, sizeof second);
		require(pp_read(shape, text, text_len, &again) == PP_TAKEN);
		/* Names in another order are another spelling of the same. */
		require(again.len == out.len &&
			(canonical == 1 || memcmp(first, second, out.len) == 0));
	}
}

/* -- a port whose secrets all open --------------------------------------------------------------- */

static int agree(void *ctx, const uint8_t *pub, size_t pub_len, uint8_t shared[32])
{
	(void)ctx;
	memcpy(shared, pub, 32);
	return pub[pub_len - 1] == 0 ? PROPLET_REFUSED : PROPLET_OK;
}

static int derive(void *ctx, const uint8_t secret[32], const uint8_t *salt, size_t salt_len,
		  const void *info, size_t info_len, uint8_t *out, size_t len)
{
	(void)ctx;
	memset(out, secret[0] ^ salt[salt_len - 1] ^ ((const uint8_t *)info)[info_len - 1], len);
	return PROPLET_OK;
}

static int unseal(void *ctx, const uint8_t key[32], const uint8_t nonce[12], const void *aad,
		  size_t aad_len, const uint8_t *sealed, size_t len, uint8_t *out)
{
	(void)ctx;
	(void)aad;
	(void)aad_len;
	require(len >= 16 && key[31] == nonce[11]);
	memcpy(out, sealed, len - 16);
	return sealed[len - 1] == 0 ? PROPLET_REFUSED : PROPLET_OK;
}

/* A key as text up to a zero, then a sealed value, into a buffer that is as large as it may be. */
static void box(const uint8_t *data, size_t size)
{
	static const struct proplet_port port = {.agree = agree, .derive = derive, .unseal = unseal};
	static const uint8_t id[16] = {1};
	const uint8_t *const end = size == 0 ? NULL : memchr(data, 0, size);
	const size_t len = end == NULL ? size : (size_t)(end - data);
	const size_t left = size - len, cap = left / 2 + 1;
	struct pp_place place = {"d", id, id, id, {(const char *)data, len < 128 ? len : 128}};
	uint8_t *const out = malloc(cap), *const sealed = malloc(left + 1);
	struct pp_box key;
	size_t got;

	if (pp_box_read((struct proplet_text){(const char *)data, len}, &key) != PP_TAKEN) {
		memset(&key, 4, sizeof key);
		key.scheme = 1 + left % 2;
		key.len = key.scheme == PP_BOX_P256 ? 65 : 32;
	}
	if (left > 0) {
		memcpy(sealed, data + len, left);
		sealed[0] = key.scheme;
	}
	require(pp_box_open(&port, &key, &place, sealed, left, out, cap, &got) == PP_TAKEN ||
		got == 0);
	require(got <= cap);
	free(out);
	free(sealed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct pp_shape *const shapes[] = {
		&pp_shape_desired, &pp_shape_op, &pp_shape_trust, &pp_shape_blob_ack,
		&pp_shape_manager_status, &pp_shape_report, &pp_shape_hello, &pp_shape_status,
	};
	static const struct pp_channel channel = {"d", "c"};
	struct pp_record record;
	struct pp_chunk chunk;
	struct pp_put put;
	struct pp_out out;
	unsigned what;

	if (size < 1) {
		return 0;
	}
	what = data[0] % 15;
	data++;
	size--;
	switch (what) {
	case 8:
		(void)pp_chunk_read(data, size, &chunk);
		break;
	case 9:
		(void)pp_put_read(data, size, &put);
		break;
	case 10:
		(void)pp_record_read(data, size, &record);
		break;
	case 11: {
		char *const topic = malloc(size + 1);

		memcpy(topic, data, size);
		topic[size] = 0;
		(void)pp_topic_parse(&channel, topic);
		free(topic);
		break;
	}
	case 12:
	case 13:
		pp_out_init(&out, first, sizeof first);
		(void)pp_read_list(what == 12 ? &pp_kind_tasks : &pp_kind_inventory, data, size, &out);
		break;
	case 14:
		box(data, size);
		break;
	default:
		message(shapes[what], data, size);
	}
	return 0;
}
