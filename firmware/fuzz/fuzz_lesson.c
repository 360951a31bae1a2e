/*
 * A round fed anything: the header of a model, a layout, and a guest that calls its imports with
 * whatever it likes. Nothing reaches beyond the guest's memory, all memory is given back, and an
 * update that is told is one that was kept.
 */
#include <stdlib.h>

#include "../tests/fake_lesson.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct class c;

static void require(int what)
{
	if (!what) {
		abort();
	}
}

static const uint8_t *at, *end;

static uint8_t byte(void)
{
	return at < end ? *at++ : 0;
}

/* Mostly small numbers, now and then a large one. */
static uint64_t number(void)
{
	const uint8_t how = byte();
	uint64_t value = byte();

	for (unsigned i = 0; i < (how & 7u) && how > 160; i++) {
		value = value << 8 | byte();
	}
	return how < 64 ? value : how < 128 ? value * 16 : value;
}

/* A blob out of the next bytes, at most `most` of them. */
static const char *blob(char ref[128], size_t most)
{
	size_t size = (size_t)byte() << 8 | byte();

	size = size % (most + 1);
	size = size < (size_t)(end - at) ? size : (size_t)(end - at);
	(void)class_blob(&c, size == 0 ? (const uint8_t *)"x" : at, size == 0 ? 1 : size, ref);
	at += size;
	return ref;
}

static const char *const calls[] = {
	"submit",     "model_read",   "data_next",      "param_i64",     "param_f64",  "metric",
	"rand_u64",   "steps",        "correction_read", "model_len",    "poll_oneoff", "clock_time_get",
	"random_get", "clock_res_get", "submit",         "metric",
};

static void play(void)
{
	memset(c.memory, byte(), sizeof c.memory);
	for (unsigned i = 0; i < 40 && at < end; i++) {
		const char *const name = calls[byte() % 16];
		uint64_t args[4];

		for (unsigned j = 0; j < 4; j++) {
			args[j] = number();
		}

		if (byte() % 4 == 0) {
			uint8_t *const to = c.memory + byte() * 8u;
			const size_t some = (size_t)(end - at) < 64 ? (size_t)(end - at) : 64;

			memcpy(to, at, some);
			at += some;
		}
		if (class_call(&c, name, args) != NULL) {
			require(c.job.left && c.words[0] != 0);
			class_end(&c, PROPLET_END_REFUSED, c.words);
			return;
		}
	}
	class_end(&c, PROPLET_END_RETURNED, byte() % 8 == 0 ? "75" : "");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const formats[] = {"f32-delta", "f32-full", "q8-delta", "q4-delta"};
	char model[128], layout[128], more[512];
	uint32_t kept = 0;
	uint8_t how;

	if (size == 0) {
		return 0;
	}
	at = data;
	end = data + size;
	class_init(&c);
	how = byte();
	c.train = c.test = (struct proplet_shape){byte(), byte() % 3, byte()};
	snprintf(more, sizeof more, ",\"guest\":\"Imports\",\"params\":{\"a\":\"%u.5\",\"b\":\"%d\"}%s%s%s%s",
		 byte(), (int8_t)byte(), (how & 1) != 0 ? ",\"model\":" : "",
		 (how & 1) != 0 ? blob(model, 1500) : "", (how & 2) != 0 ? ",\"layout\":" : "",
		 (how & 2) != 0 ? blob(layout, 600) : "");
	require(class_entry(&c, (how & 4) != 0 ? "evaluate" : "train", formats[how >> 3 & 3],
			    "[{\"name\":\"data\",\"path\":\"/data\",\"access\":\"ReadOnly\"}]", more));
	if (class_check(&c)[0] != 0) {
		require(!class_begin(&c) || c.job.lesson != NULL);
		if (c.job.lesson == NULL) {
			return 0;
		}
		class_end(&c, PROPLET_END_STOPPED, "stopped");
	} else if (class_begin(&c)) {
		play();
		require(!c.ended.has_blob || c.ended.ok);
		require(!c.ended.has_blob || class_kept(&c, &kept) != NULL);
		require(c.ended.ok || c.ended.error_len > 0);
	}
	require(c.taken == 0 && c.opened == 0);
	return 0;
}
