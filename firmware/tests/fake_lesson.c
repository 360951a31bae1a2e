/* See fake_lesson.h. */
#include "fake_lesson.h"

#include <stdlib.h>

static const uint8_t key_seed[32] = {7};

static unsigned place_of(const struct class *c, const uint8_t digest[32])
{
	unsigned i = 0;

	while (i < c->blob_count && memcmp(c->blobs[i].digest, digest, 32) != 0) {
		i++;
	}
	return i;
}

static int blob_read(void *ctx, const uint8_t digest[32], uint32_t off, void *buf, size_t len)
{
	const struct class *const c = ctx;
	const unsigned at = place_of(c, digest);

	if (at == c->blob_count || off > c->blobs[at].size || len > c->blobs[at].size - off) {
		return PROPLET_MISSING;
	}
	memcpy(buf, c->blobs[at].data + off, len);
	return PROPLET_OK;
}

static int blob_write(void *ctx, const uint8_t digest[32], uint32_t off, uint32_t total,
		      const void *data, size_t len)
{
	struct class *const c = ctx;
	const unsigned at = place_of(c, digest);

	if (c->full || at == CLASS_BLOBS || total > CLASS_BLOB || off + len > total) {
		return PROPLET_FULL;
	}
	memcpy(c->blobs[at].digest, digest, 32);
	memcpy(c->blobs[at].data + off, data, len);
	c->blobs[at].size = total;
	c->blob_count += at == c->blob_count;
	return PROPLET_OK;
}

static int blob_seal(void *ctx, const uint8_t digest[32], uint32_t total)
{
	(void)ctx;
	(void)digest;
	(void)total;
	return PROPLET_OK;
}

static int sign(void *ctx, uint8_t sig[64], const void *msg, size_t len)
{
	(void)ctx;
	(void)msg;
	memset(sig, (int)len, 64);
	return PROPLET_OK;
}

static void *take(void *ctx, size_t size)
{
	((struct class *)ctx)->taken++;
	return malloc(size == 0 ? 1 : size);
}

static void give(void *ctx, void *memory)
{
	((struct class *)ctx)->taken--;
	free(memory);
}

static int open_records(void *ctx, uint8_t slot, struct proplet_text mount, bool evaluate,
			struct proplet_shape *shape, char *why, size_t cap)
{
	struct class *const c = ctx;

	(void)slot;
	if (c->open_error != PROPLET_OK || mount.len != 4 || memcmp(mount.at, "data", 4) != 0) {
		if (cap > 6) {
			memcpy(why, "broken", 7);
		}
		return PROPLET_REFUSED;
	}
	*shape = evaluate ? c->test : c->train;
	c->opened++;
	return PROPLET_OK;
}

static int read_records(void *ctx, uint8_t slot, uint64_t off, void *buf, size_t len)
{
	const struct class *const c = ctx;

	(void)slot;
	for (size_t i = 0; i < len; i++) {
		((uint8_t *)buf)[i] = (uint8_t)(off + i);
	}
	return c->open_error == PROPLET_OK ? PROPLET_OK : PROPLET_BROKEN;
}

static void close_records(void *ctx, uint8_t slot)
{
	(void)slot;
	((struct class *)ctx)->opened--;
}

void class_init(struct class *c)
{
	memset(c, 0, sizeof *c);
	crypto_port(&c->port, key_seed);
	c->port.ctx = c;
	c->port.blob_read = blob_read;
	c->port.blob_write = blob_write;
	c->port.blob_seal = blob_seal;
	c->port.sign = sign;
	c->os = (struct proplet_os){.ctx = c, .take = take, .give = give};
	c->records = (struct proplet_records){
		.ctx = c, .open = open_records, .read = read_records, .close = close_records};
	proplet_school_init(&c->school, &c->port, &c->os, &c->records, 1 << 20);
}

const char *class_blob(struct class *c, const void *data, size_t size, char ref[128])
{
	struct proplet_hash hash;
	uint8_t digest[32];
	char hex[65];

	(void)c->port.hash_begin(&c->port, &hash);
	(void)c->port.hash_add(&c->port, &hash, data, size);
	(void)c->port.hash_end(&c->port, &hash, digest);
	(void)blob_write(c, digest, 0, (uint32_t)size, data, size);
	for (unsigned i = 0; i < 32; i++) {
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	}
	snprintf(ref, 128, "{\"digest\":\"sha256:%s\",\"size\":%zu}", hex, size);
	return ref;
}

bool class_entry(struct class *c, const char *step, const char *format, const char *mounts,
		 const char *more)
{
	static char text[4096];
	struct pp_out out;

	snprintf(text, sizeof text,
		 "{\"uid\":\"00000000-0000-0000-0000-000000000001\",\"ref\":\"FederatedTask/default/t\","
		 "\"run\":\"00000000000000000000000000000001\",\"cause\":\"round:1\",\"mode\":\"once\","
		 "\"digest\":\"sha256:%064d\",\"module\":{\"digest\":\"sha256:%064d\",\"size\":1},"
		 "\"entrypoint\":\"train\",\"mounts\":%s,\"fl\":{"
		 "\"job\":\"11111111-2222-3333-4444-555555555555\",\"round\":3,\"attempt\":2,"
		 "\"step\":\"%s\",\"format\":\"%s\",\"nonce\":\"%032d\",\"seed\":\"0102030405060708\"%s}}",
		 1, 2, mounts, step, format, 9, more);
	pp_out_init(&out, c->entry, sizeof c->entry);
	memset(&c->guest, 0, sizeof c->guest);
	c->guest.entry = c->entry;
	c->guest.trains = true;
	if (pp_read(&pp_shape_entry, (const uint8_t *)text, strlen(text), &out) != PP_TAKEN) {
		return false;
	}
	c->guest.entry_len = out.len;
	return true;
}

const char *class_check(struct class *c)
{
	const struct proplet_lessons *const lessons = &c->school.lessons;

	c->words[0] = 0;
	(void)lessons->check(lessons->ctx, &c->guest, c->words, sizeof c->words);
	return c->words;
}

bool class_begin(struct class *c)
{
	const struct proplet_lessons *const lessons = &c->school.lessons;

	memset(&c->job, 0, sizeof c->job);
	memset(&c->outcome, 0, sizeof c->outcome);
	memset(&c->ended, 0, sizeof c->ended);
	c->words[0] = 0;
	return lessons->begin(lessons->ctx, &c->guest, &c->job.lesson, c->words, sizeof c->words) ==
	       PROPLET_OK;
}

static const struct proplet_native known[] = {
	PROPLET_FL_NATIVES,
	{"wasi", "clock_time_get", "iIi:i", proplet_fl_time},
	{"wasi", "clock_res_get", "ii:i", proplet_fl_resolution},
	{"wasi", "random_get", "ii:i", proplet_fl_random},
	{"wasi", "poll_oneoff", "iiii:i", proplet_fl_poll},
};

const char *class_call(struct class *c, const char *name, const uint64_t *args)
{
	struct proplet_call call = {.job = &c->job,
				    .memory = {c->memory, sizeof c->memory},
				    .args = args,
				    .words = c->words};
	unsigned i = 0;

	while (strcmp(known[i].name, name) != 0) {
		i++;
	}
	c->words[0] = 0;
	if (known[i].call(&call) == PROPLET_GO_ON) {
		c->result = call.result;
		return NULL;
	}
	return c->words;
}

void class_end(struct class *c, enum proplet_end end, const char *text)
{
	const struct proplet_lessons *const lessons = &c->school.lessons;

	memset(&c->ended, 0, sizeof c->ended);
	c->outcome.end = end;
	c->outcome.valued = end == PROPLET_END_RETURNED && text[0] != 0;
	snprintf(c->outcome.text, sizeof c->outcome.text, "%s", text);
	lessons->finish(lessons->ctx, c->job.lesson, &c->outcome, &c->ended);
	c->job.lesson = NULL;
}

const uint8_t *class_kept(const struct class *c, uint32_t *size)
{
	const unsigned at = place_of(c, c->ended.blob);

	if (!c->ended.has_blob || at == c->blob_count) {
		return NULL;
	}
	*size = c->blobs[at].size;
	return c->blobs[at].data;
}
