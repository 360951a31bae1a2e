/*
 * A device that hears anything on any topic, with signatures that always hold, and modules that are
 * anything. Bytes say what happens: a message, time, a reboot, a lost connection.
 */
#include <stdlib.h>

#include "../core/admit.h"
#include "../tests/fake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fake f;
static const uint8_t *wasm;
static size_t wasm_len;

static int any_signature(void *ctx, enum proplet_alg alg, const uint8_t *pub, size_t pub_len,
			 const uint8_t sig[64], const void *msg, size_t len)
{
	(void)ctx;
	(void)alg;
	(void)pub;
	(void)pub_len;
	(void)sig;
	(void)msg;
	(void)len;
	return PROPLET_OK;
}

static int read_module(void *ctx, const uint8_t digest[32], uint32_t off, void *buf, size_t len)
{
	(void)ctx;
	(void)digest;
	if (off + len > wasm_len) {
		return PROPLET_MISSING;
	}
	memcpy(buf, wasm + off, len);
	return PROPLET_OK;
}

static void module(const uint8_t *data, size_t size)
{
	static struct proplet_port port;
	struct proplet_guest guest;
	struct pp_words why;

	memset(&guest, 0, sizeof guest);
	port.blob_read = read_module;
	wasm = data;
	wasm_len = size;
	guest.module_size = (uint32_t)size;
	guest.entrypoint = (struct proplet_text){"_start", 6};
	guest.memory = PROPLET_UNLIMITED;
	(void)pp_admit(&port, &f.engine, &guest, &why);
}

static void hear(unsigned topic, const uint8_t *data, size_t size, bool framed)
{
	static const enum pp_topic topics[] = {PP_TOPIC_DESIRED,	PP_TOPIC_OP,
					       PP_TOPIC_BLOB_ACK,	PP_TOPIC_TRUST,
					       PP_TOPIC_MANAGER_STATUS, PP_TOPIC_BLOB_DATA};
	static uint8_t frame[4096];
	const struct pp_key *const key = &f.proplet.agent.keys[topic == 3 ? 0 : 1];
	const size_t head = framed ? pp_frame_head(key) : 0;

	if (size > sizeof frame - head) {
		return;
	}
	if (framed) {
		memset(frame, 0, head);
		frame[0] = 'P';
		frame[1] = '1';
		frame[2] = key->alg;
		frame[3] = (uint8_t)strlen(key->kid);
		memcpy(frame + 4, key->kid, frame[3]);
	}
	memcpy(frame + head, data, size);
	fake_queue(&f, topics[topic], frame, head + size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t at = 0;

	fake_init(&f);
	f.port.verify = any_signature;
	fake_box(&f, size % 2 == 1);
	if (!fake_boot(&f)) {
		return 0;
	}
	fake_connect(&f);
	fake_trust(&f, 1);
	fake_run(&f, 1);
	while (at + 3 <= size) {
		const unsigned what = data[at] % 12;
		size_t len = (size_t)data[at + 1] << 8 | data[at + 2];

		at += 3;
		len = len < size - at ? len : size - at;
		if (what < 6) {
			hear(what, data + at, len, what < 5 && data[at - 3] < 200);
		} else if (what == 6) {
			module(data + at, len);
		} else if (what == 7) {
			(void)fake_boot(&f);
			fake_connect(&f);
		} else if (what == 8) {
			fake_disconnect(&f);
			fake_connect(&f);
		} else if (what == 9) {
			f.broken = !f.broken;
		} else if (what == 10) {
			f.deaf = !f.deaf;
		}
		at += len;
		fake_run(&f, what == 11 ? (unsigned)(data[at - 1] * 8) : 5);
	}
	if (harness_failures > 0) {
		abort(); /* what the device sent was not what it should be */
	}
	return 0;
}
