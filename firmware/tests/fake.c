#include "fake.h"

#include <stdarg.h>
#include <stdlib.h>

#include "../core/base64.h"
#include "../core/inside.h"

static const uint8_t root_seed[32] = "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr",
		     manager_seed[32] = "mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm",
		     second_seed[32] = "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn",
		     device_seed[32] = "dddddddddddddddddddddddddddddddd";
#define ROOT "ed25519:W2SJycf9Dc9QVF58FkiG70BJHsBsfxsSMEF5foEXU14="
#define MANAGER "ed25519:iyN9eI6Oqu9VDG0SWCP6RfH9X8KbLIi9+HERlHH8ExI="
#define SECOND "ed25519:AU5NkixZajgK38nu1yLoNYIvEjZ2FpPkurth4a+7BPE="
#define DEVICE "ed25519:K8KACzMW4Akgn/11fasZzPCuhLx66QZU4egXEtJw9lM="

static uint8_t desired[4096], incoming[4096], scratch[4096], early[3 * 256], told[4096], body[4096];
static char notes[8192];
static struct pp_run runs[8];
static struct pp_stone stones[8];
static struct pp_times times[4];
static struct pp_blob blobs[24];

/* -- power -------------------------------------------------------------------------------------- */

static bool cut_now(struct fake *f, enum fake_cut when)
{
	return f->cut_at != 0 && f->writes == f->cut_at && f->cut == when;
}

static void before(struct fake *f)
{
	f->writes++;
	if (cut_now(f, FAKE_BEFORE)) {
		longjmp(f->down, 1);
	}
}

static void after(struct fake *f)
{
	if (cut_now(f, FAKE_AFTER) || cut_now(f, FAKE_HALF)) {
		longjmp(f->down, 1);
	}
}

/* -- records ------------------------------------------------------------------------------------ */

static unsigned find_record(const struct fake *f, uint16_t id)
{
	unsigned i;

	for (i = 0; i < FAKE_RECORDS && !(f->records[i].used && f->records[i].id == id); i++) {
	}
	return i;
}

static int get(void *ctx, uint16_t id, void *buf, size_t cap, size_t *len)
{
	const struct fake *const f = ctx;
	const unsigned i = find_record(f, id);

	if (i == FAKE_RECORDS) {
		return PROPLET_MISSING;
	}
	*len = f->records[i].len;
	if (*len > cap) {
		return PROPLET_FULL;
	}
	memcpy(buf, f->records[i].data, *len);
	return PROPLET_OK;
}

static int put(void *ctx, uint16_t id, const void *buf, size_t len)
{
	struct fake *const f = ctx;
	unsigned i = find_record(f, id);

	if (f->broken) {
		return PROPLET_BROKEN;
	}
	before(f);
	for (unsigned j = 0; i == FAKE_RECORDS && j < FAKE_RECORDS; j++) {
		i = f->records[j].used ? i : j;
	}
	if (i == FAKE_RECORDS || len > sizeof f->records[0].data) {
		return PROPLET_FULL;
	}
	f->records[i].used = true;
	f->records[i].id = id;
	f->records[i].len = len;
	memcpy(f->records[i].data, buf, len);
	after(f);
	return PROPLET_OK;
}

static int del(void *ctx, uint16_t id)
{
	struct fake *const f = ctx;
	const unsigned i = find_record(f, id);

	if (f->broken) {
		return PROPLET_BROKEN;
	}
	if (i < FAKE_RECORDS) {
		before(f);
		f->records[i].used = false;
		after(f);
	}
	return PROPLET_OK;
}

/* -- blobs -------------------------------------------------------------------------------------- */

static struct fake_blob *find_blob(struct fake *f, const uint8_t *digest)
{
	for (unsigned i = 0; i < FAKE_BLOBS; i++) {
		if (f->blobs[i].used && memcmp(f->blobs[i].digest, digest, 32) == 0) {
			return &f->blobs[i];
		}
	}
	return NULL;
}

static int blob_have(void *ctx, const uint8_t digest[32], uint32_t *have, bool *sealed)
{
	const struct fake_blob *const blob = find_blob(ctx, digest);

	*have = blob == NULL ? 0 : blob->have;
	*sealed = blob != NULL && blob->sealed;
	return PROPLET_OK;
}

static uint32_t used_bytes(const struct fake *f)
{
	uint32_t used = 0;

	for (unsigned i = 0; i < FAKE_BLOBS; i++) {
		used += f->blobs[i].used ? f->blobs[i].total : 0;
	}
	return used;
}

static int blob_write(void *ctx, const uint8_t digest[32], uint32_t off, uint32_t total,
		      const void *data, size_t len)
{
	struct fake *const f = ctx;
	struct fake_blob *blob = find_blob(f, digest);

	if (f->broken) {
		return PROPLET_BROKEN;
	}
	if (blob == NULL && (off != 0 || total > FAKE_BLOB || used_bytes(f) + total > f->room)) {
		return off != 0 ? PROPLET_MISSING : PROPLET_FULL;
	}
	before(f);
	for (unsigned i = 0; blob == NULL && i < FAKE_BLOBS; i++) {
		if (!f->blobs[i].used) {
			blob = &f->blobs[i];
			memset(blob, 0, sizeof *blob);
			blob->used = true;
			blob->total = total;
			memcpy(blob->digest, digest, 32);
		}
	}
	if (blob == NULL) {
		return PROPLET_FULL;
	}
	if (off > blob->have || off + len > FAKE_BLOB) {
		return PROPLET_REFUSED;
	}
	len = cut_now(f, FAKE_HALF) ? len / 2 : len;
	if (len > 0) {
		memcpy(blob->data + off, data, len);
	}
	blob->have = off + (uint32_t)len;
	after(f);
	return PROPLET_OK;
}

static int blob_read(void *ctx, const uint8_t digest[32], uint32_t off, void *buf, size_t len)
{
	const struct fake_blob *const blob = find_blob(ctx, digest);

	if (blob == NULL || off + len > blob->have) {
		return PROPLET_MISSING;
	}
	memcpy(buf, blob->data + off, len);
	return PROPLET_OK;
}

static int blob_seal(void *ctx, const uint8_t digest[32], uint32_t total)
{
	struct fake *const f = ctx;
	struct fake_blob *const blob = find_blob(f, digest);

	if (f->broken || blob == NULL || blob->have != total) {
		return PROPLET_BROKEN;
	}
	before(f);
	blob->sealed = true;
	after(f);
	return PROPLET_OK;
}

static int blob_drop(void *ctx, const uint8_t digest[32])
{
	struct fake *const f = ctx;
	struct fake_blob *const blob = find_blob(f, digest);

	if (blob != NULL) {
		before(f);
		blob->used = false;
		after(f);
	}
	return PROPLET_OK;
}

static int blob_at(void *ctx, uint32_t index, uint8_t digest[32])
{
	const struct fake *const f = ctx;

	for (unsigned i = 0; i < FAKE_BLOBS; i++) {
		if (f->blobs[i].used && index-- == 0) {
			memcpy(digest, f->blobs[i].digest, 32);
			return PROPLET_OK;
		}
	}
	return PROPLET_MISSING;
}

static uint32_t blob_room(void *ctx)
{
	const struct fake *const f = ctx;

	return f->room - used_bytes(f);
}

/* -- the manager's side of the broker ------------------------------------------------------------ */

static struct pp_channel channel_of(const struct fake *f)
{
	return (struct pp_channel){f->config.domain, f->config.channel};
}

void fake_queue(struct fake *f, enum pp_topic topic, const uint8_t *payload, size_t len)
{
	const struct pp_channel channel = channel_of(f);
	struct fake_message *const m = &f->queue[f->queued % FAKE_QUEUE];

	if (!f->online || f->queued == FAKE_QUEUE || len > sizeof m->payload) {
		return;
	}
	(void)pp_topic_write(&channel, topic, f->config.id, "x", 1, m->topic, sizeof m->topic);
	memcpy(m->payload, payload, len);
	m->len = len;
	f->queued++;
}

static size_t sealed(struct fake *f, enum pp_purpose purpose, const char *text, uint8_t *frame)
{
	struct proplet_port port = f->port;
	struct pp_key key;
	const bool root = purpose == PP_FOR_TRUST;
	const size_t len = strlen(text);
	size_t head;

	crypto_port(&port, root ? root_seed : f->second ? second_seed : manager_seed);
	(void)pp_key_read(&port, pp_words_of(root ? ROOT : f->second ? SECOND : MANAGER), &key);
	head = pp_frame_head(&key);
	memcpy(frame + head, text, len);
	(void)pp_frame_seal(&port, purpose, &key, frame, len);
	return head + len;
}

void fake_send(struct fake *f, enum pp_topic topic, enum pp_purpose purpose, const char *text)
{
	static uint8_t frame[8192];

	fake_queue(f, topic, frame, sealed(f, purpose, text, frame));
}

static void retain(struct fake *f, struct fake_message *m, enum pp_topic topic,
		   enum pp_purpose purpose, const char *text)
{
	m->len = sealed(f, purpose, text, m->payload);
	fake_queue(f, topic, m->payload, m->len);
}

static void trust_with(struct fake *f, unsigned version, const char *pub, const char *roles)
{
	struct pp_key key;
	char text[512];

	(void)pp_key_read(&f->port, pp_words_of(pub), &key);
	snprintf(text, sizeof text,
		 "{\"v\":1,\"version\":%u,\"keys\":[{\"kid\":\"%s\",\"alg\":1,\"pub\":\"%s\","
		 "\"roles\":[%s]}]}",
		 version, key.kid, pub, roles);
	retain(f, &f->trust, PP_TOPIC_TRUST, PP_FOR_TRUST, text);
}

void fake_trust(struct fake *f, unsigned version)
{
	trust_with(f, version, MANAGER, "\"manager\"");
}

void fake_trust_second(struct fake *f, unsigned version)
{
	trust_with(f, version, SECOND, "\"manager\"");
	f->second = true;
}

void fake_trust_releasing(struct fake *f, unsigned version)
{
	trust_with(f, version, MANAGER, "\"manager\",\"release\"");
}

static void hex(char *to, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		snprintf(to + 2 * i, 3, "%02x", bytes[i]);
	}
}

void fake_desire(struct fake *f, unsigned gen, const char *tasks)
{
	static char text[4000];
	char inst[33];

	hex(inst, f->proplet.agent.inst, 16);
	snprintf(text, sizeof text,
		 "{\"v\":1,\"to\":\"%s\",\"inst\":\"%s\",\"fence\":100,\"gen\":%u,\"iat\":1000,"
		 "\"digest\":\"sha256:%064u\",\"tasks\":%s}",
		 f->config.id, inst, gen, gen, tasks);
	retain(f, &f->desired, PP_TOPIC_DESIRED, PP_FOR_DESIRED, text);
}

void fake_say(struct fake *f, const char *verb, const char *uid, const char *run)
{
	static unsigned n;
	char text[600], inst[33];
	int len;

	hex(inst, f->proplet.agent.inst, 16);
	len = snprintf(text, sizeof text,
		       "{\"v\":1,\"id\":\"op%u\",\"verb\":\"%s\",\"to\":\"%s\",\"inst\":\"%s\",\"boot\":%u,"
		       "\"conn\":%u,\"src\":\"m\",\"n\":%u",
		       n, verb, f->config.id, inst, f->proplet.boot, f->proplet.conn, n);
	n++;
	if (uid != NULL) {
		len += snprintf(text + len, sizeof text - (size_t)len,
				",\"uid\":\"%s\",\"run\":\"%s\"", uid, run);
	}
	snprintf(text + len, sizeof text - (size_t)len, "}");
	fake_send(f, PP_TOPIC_OP, PP_FOR_OP, text);
}

void fake_manager_online(struct fake *f)
{
	static unsigned conn;
	char text[128];

	snprintf(text, sizeof text,
		 "{\"v\":1,\"state\":\"online\",\"fence\":100,\"src\":\"m\",\"conn\":%u}", ++conn);
	fake_send(f, PP_TOPIC_MANAGER_STATUS, PP_FOR_MANAGER, text);
}

static const char *served(struct fake_blob *blob, uint32_t len, char text[72])
{
	struct proplet_hash state;

	blob->used = true;
	blob->total = blob->have = len;
	crypto_hash_begin(NULL, &state);
	crypto_hash_add(NULL, &state, blob->data, len);
	crypto_hash_end(NULL, &state, blob->digest);
	memcpy(text, "sha256:", 7);
	hex(text + 7, blob->digest, 32);
	return text;
}

const char *fake_serve(struct fake *f, const uint8_t *data, uint32_t size, char text[72])
{
	struct fake_blob *blob = f->served;

	while (blob->used && blob < f->served + 7) {
		blob++;
	}
	memset(blob, 0, sizeof *blob);
	memcpy(blob->data, data, size);
	return served(blob, size, text);
}

const char *fake_module(struct fake *f, unsigned size, char text[72])
{
	static const uint8_t plain[] = {0,   'a', 's', 'm', 1,   0,   0,   0,   1,  4,  1, 0x60,
					0,   0,   3,   2,   1,   0,   7,   10,  1,  6,  '_', 's',
					't', 'a', 'r', 't', 0,   0,   10,  4,   1,  2,  0, 0x0b};
	struct fake_blob *blob = f->served;
	uint32_t len = sizeof plain;

	while (blob->used && blob->total != len + size + 4 && blob < f->served + 7) {
		blob++;
	}
	memset(blob, 0, sizeof *blob);
	memcpy(blob->data, plain, len);
	blob->data[len] = 0; /* a custom section: ballast */
	blob->data[len + 1] = (uint8_t)(0x80 | (size & 0x7F));
	blob->data[len + 2] = (uint8_t)(size >> 7);
	blob->data[len + 3] = 0;
	return served(blob, len + 3 + size, text);
}

static void serve(struct fake *f, struct pp_view ask)
{
	static uint8_t payload[4096];
	size_t len;
	const uint8_t *const digest = pp_bytes(pp_field(ask, PP_BLOB_GET_DIGEST), &len);
	const uint64_t off = (uint64_t)pp_int(pp_field(ask, PP_BLOB_GET_OFF), 0);
	uint64_t size = (uint64_t)pp_int(pp_field(ask, PP_BLOB_GET_LEN), 0);
	struct pp_chunk chunk = {.digest = digest, .off = off,
				 .req = (uint32_t)pp_int(pp_field(ask, PP_BLOB_GET_REQ), 0)};
	struct pp_out out;

	f->pieces++;
	if (f->lose != 0 && f->pieces % f->lose == 0) {
		return;
	}
	chunk.error = PP_BLOB_UNKNOWN_DIGEST;
	for (unsigned i = 0; i < 8; i++) {
		const struct fake_blob *const blob = &f->served[i];

		if (blob->used && memcmp(blob->digest, digest, 32) == 0 && off <= blob->total) {
			size = size < blob->total - off ? size : blob->total - off;
			chunk.error = 0;
			chunk.total = blob->total;
			chunk.data = blob->data + off;
			chunk.len = (size_t)size;
		}
	}
	pp_out_init(&out, payload, sizeof payload);
	(void)pp_chunk_write(&out, &chunk);
	fake_queue(f, PP_TOPIC_BLOB_DATA, payload, out.len);
}

static void take_put(struct fake *f, const uint8_t *data, size_t len)
{
	struct pp_put piece;
	char text[256], digest[65];

	CHECK(pp_put_read(data, len, &piece) == PP_TAKEN, "a put");
	f->puts++;
	if (memcmp(f->uploaded.digest, piece.digest, 32) != 0) {
		memset(&f->uploaded, 0, sizeof f->uploaded);
		memcpy(f->uploaded.digest, piece.digest, 32);
		f->uploaded.total = (uint32_t)piece.total;
	}
	if (piece.off == f->uploaded.have && piece.off + piece.len <= FAKE_BLOB) {
		memcpy(f->uploaded.data + piece.off, piece.data, piece.len);
		f->uploaded.have += (uint32_t)piece.len;
	}
	hex(digest, piece.digest, 32);
	snprintf(text, sizeof text,
		 "{\"v\":1,\"id\":\"%s\",\"digest\":\"sha256:%s\",\"have\":%u,\"state\":\"%s\"}",
		 f->config.id, digest, f->uploaded.have,
		 f->uploaded.have == f->uploaded.total ? "stored" : "open");
	fake_send(f, PP_TOPIC_BLOB_ACK, PP_FOR_ACK, text);
}

static void keep(struct fake *f, enum pp_topic topic, const uint8_t *data, size_t len)
{
	static uint8_t cbor[8192];
	static const struct {
		enum pp_topic topic;
		const struct pp_shape *shape;
	} shapes[] = {{PP_TOPIC_REPORT, &pp_shape_report}, {PP_TOPIC_HELLO, &pp_shape_hello},
		      {PP_TOPIC_STATUS, &pp_shape_status}, {PP_TOPIC_OP_ANSWER, &pp_shape_op_answer},
		      {PP_TOPIC_BLOB_GET, &pp_shape_blob_get}};
	struct pp_out out;
	struct pp_view message;
	unsigned i = 0;

	while (i < 5 && shapes[i].topic != topic) {
		i++;
	}
	if (i == 5) {
		return;
	}
	pp_out_init(&out, cbor, sizeof cbor);
	CHECK(pp_read(shapes[i].shape, data, len, &out) == PP_TAKEN, "%s", shapes[i].shape->name);
	message = (struct pp_view){cbor, out.len};
	f->hellos += topic == PP_TOPIC_HELLO;
	if (topic == PP_TOPIC_BLOB_GET) {
		serve(f, message);
	} else if (topic == PP_TOPIC_OP_ANSWER) {
		f->answers++;
		memcpy(f->answer, cbor, out.len);
		f->answer_len = out.len;
	} else if (topic == PP_TOPIC_REPORT) {
		const bool full = pp_has(message, PP_REPORT_TASKS) || pp_has(message, PP_REPORT_BODY);

		f->reports += full;
		f->beats += !full;
		if (full) {
			memcpy(f->report, cbor, out.len);
			f->report_len = out.len;
		}
	}
}

static int publish(void *ctx, const char *topic, const void *payload, size_t len, uint8_t qos,
		   bool retained)
{
	struct fake *const f = ctx;
	const struct pp_channel channel = channel_of(f);
	const struct pp_heard heard = pp_topic_parse(&channel, topic);
	const uint8_t *data = payload;
	struct pp_key key;
	struct pp_opened opened;
	enum pp_purpose purpose = PP_FOR_REPORT;

	(void)retained;
	if (f->deaf) {
		return PROPLET_BUSY;
	}
	CHECK(heard.topic != PP_TOPIC_FOREIGN && qos <= 1, "%s", topic);
	CHECK(len <= f->config.max_payload, "%s of %zu bytes", topic, len);
	if (heard.topic != PP_TOPIC_BLOB_GET) {
		(void)pp_key_read(&f->port, pp_words_of(DEVICE), &key);
		key.roles = PP_ROLE_DEVICE;
		purpose = heard.topic == PP_TOPIC_HELLO	       ? PP_FOR_HELLO
			  : heard.topic == PP_TOPIC_STATUS    ? PP_FOR_STATUS
			  : heard.topic == PP_TOPIC_OP_ANSWER ? PP_FOR_ANSWER
			  : heard.topic == PP_TOPIC_BLOB_PUT  ? PP_FOR_PUT
							      : PP_FOR_REPORT;
		CHECK(pp_frame_open(&f->port, purpose, data, len, &key, 1, &opened) == PP_TAKEN,
		      "%s is signed", topic);
		data = opened.body;
		len = opened.len;
	}
	if (heard.topic == PP_TOPIC_BLOB_PUT) {
		take_put(f, data, len);
	} else {
		keep(f, heard.topic, data, len);
	}
	return PROPLET_OK;
}

static int subscribe(void *ctx, const char *topic, bool again)
{
	struct fake *const f = ctx;
	const struct pp_channel channel = channel_of(f);
	const enum pp_topic what = pp_topic_parse(&channel, topic).topic;

	(void)again;
	CHECK(what != PP_TOPIC_FOREIGN, "%s", topic);
	if (what == PP_TOPIC_TRUST && f->trust.len > 0) {
		fake_queue(f, what, f->trust.payload, f->trust.len);
	} else if (what == PP_TOPIC_DESIRED && f->desired.len > 0) {
		fake_queue(f, what, f->desired.payload, f->desired.len);
	}
	return PROPLET_OK;
}

/* -- the rest of a port ------------------------------------------------------------------------- */

static uint64_t mono(void *ctx)
{
	return ((struct fake *)ctx)->mono;
}

static bool wall(void *ctx, uint64_t *ms)
{
	const struct fake *const f = ctx;

	*ms = f->synced ? f->wall + f->mono : 0;
	return f->synced;
}

static int chance(void *ctx, void *out, size_t len)
{
	struct fake *const f = ctx;

	memset(out, f->chance++, len);
	return PROPLET_OK;
}

static enum proplet_reset reset_cause(void *ctx)
{
	(void)ctx;
	return PROPLET_RESET_POWER;
}

static void reboot(void *ctx)
{
	(void)ctx;
}

static void say(void *ctx, enum proplet_level level, const char *line)
{
	(void)ctx;
	CHECK(level <= PROPLET_ERROR && strchr(line, '\n') == NULL, "%s", line);
}

/* -- guests ------------------------------------------------------------------------------------- */

static int check(void *ctx, const struct proplet_guest *guest, char *why, size_t cap)
{
	(void)ctx;
	if (guest->args > 3) {
		snprintf(why, cap, "takes at most 3 arguments, %u given", guest->args);
		return PROPLET_REFUSED;
	}
	return PROPLET_OK;
}

static int start(void *ctx, const struct proplet_guest *guest, char *why, size_t cap)
{
	struct fake *const f = ctx;
	struct fake_guest *const place = &f->guests[guest->slot];

	CHECK(guest->slot < 4 && !place->alive, "slot %u", guest->slot);
	if (f->start_error != NULL) {
		snprintf(why, cap, "%s", f->start_error);
		return PROPLET_FULL;
	}
	for (unsigned i = 0; i < guest->secrets; i++) {
		size_t len;

		if (proplet_guest_secret(guest, i, f->secret, sizeof f->secret, &len) != PROPLET_OK) {
			snprintf(why, cap, "a secret does not open");
			return PROPLET_REFUSED;
		}
		CHECK(len == strlen(f->secret), "%s", f->secret);
	}
	memset(place, 0, sizeof *place);
	place->alive = true;
	place->daemon = guest->daemon;
	place->polls = f->life;
	memcpy(place->uid, guest->uid, 16);
	memcpy(place->run, guest->run, 16);
	memcpy(place->module, guest->module, 32);
	place->aot = guest->aot;
	place->large = guest->args > 0;
	if (f->started < FAKE_STARTS) {
		memcpy(f->starts[f->started].uid, guest->uid, 16);
		memcpy(f->starts[f->started].run, guest->run, 16);
		f->starts[f->started].daemon = guest->daemon;
		f->started++;
	}
	return PROPLET_OK;
}

static void stop(void *ctx, uint8_t slot)
{
	((struct fake *)ctx)->guests[slot].stopping = true;
}

static void large_result(struct fake *f, struct proplet_ended *out)
{
	static uint8_t data[600];
	struct proplet_hash state;

	memset(data, 'r', sizeof data);
	crypto_hash_begin(NULL, &state);
	crypto_hash_add(NULL, &state, data, sizeof data);
	crypto_hash_end(NULL, &state, out->blob);
	if (blob_write(f, out->blob, 0, sizeof data, data, sizeof data) == PROPLET_OK &&
	    blob_seal(f, out->blob, sizeof data) == PROPLET_OK) {
		out->has_blob = true;
		out->blob_size = sizeof data;
	}
}

static bool poll(void *ctx, struct proplet_ended *out)
{
	struct fake *const f = ctx;

	for (unsigned i = 0; i < 4; i++) {
		struct fake_guest *const guest = &f->guests[i];

		if (!guest->alive) {
			continue;
		}
		if (!guest->stopping && (guest->daemon || guest->polls > 0)) {
			guest->polls -= guest->polls > 0;
			continue;
		}
		memset(out, 0, sizeof *out);
		out->slot = (uint8_t)i;
		out->ok = !guest->stopping;
		out->has_exit = out->ok;
		if (out->ok && guest->large) {
			large_result(f, out);
		} else if (out->ok) {
			out->has_result = true;
			out->result_len = (uint16_t)(f->result_len > 0 ? f->result_len : 2);
			memset(out->result, 'x', out->result_len);
			memcpy(out->result, "42", 2);
		} else {
			memcpy(out->error, "stopped", 7);
			out->error_len = 7;
		}
		guest->alive = false;
		return true;
	}
	return false;
}

static size_t log_read(void *ctx, uint8_t slot, enum proplet_stream stream, uint32_t off, char *buf,
		       size_t cap, uint32_t *first, uint32_t *end)
{
	const struct fake *const f = ctx;
	const size_t len = stream == PROPLET_STDOUT ? strlen(f->log) : 0;
	size_t some;

	(void)slot;
	*first = len > 16 ? (uint32_t)len - 16 : 0;
	*end = (uint32_t)len;
	off = off < *first ? *first : off;
	if (off >= len) {
		return 0;
	}
	some = len - off < cap ? len - off : cap;
	memcpy(buf, f->log + off, some);
	return some;
}

/* -- secrets ------------------------------------------------------------------------------------ */

static const uint8_t box_key[32] = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
		     ephemeral[32] = "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee";

static int agree(void *ctx, const uint8_t *pub, size_t pub_len, uint8_t shared[32])
{
	(void)ctx;
	return crypto_agree(box_key, pub, pub_len, shared);
}

static void base64(char *to, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i += 3, to += 4) {
		pp_base64_put(to, data + i, len - i < 3 ? len - i : 3);
	}
	*to = 0;
}

void fake_box(struct fake *f, bool p256)
{
	static char text[128];
	uint8_t pub[65];
	const size_t len = p256 ? 65 : 32;

	crypto_public(box_key, pub, len);
	base64(text + snprintf(text, sizeof text, "%s", p256 ? "p256:" : "x25519:"), pub, len);
	f->config.box = text;
	f->port.agree = agree;
	f->port.derive = crypto_derive;
	f->port.unseal = crypto_unseal;
}

const char *fake_seal(struct fake *f, const char *uid, unsigned run, const char *name,
		      const char *value)
{
	static char text[700];
	const struct pp_box *const box = &f->proplet.box;
	char where[400], inst[33];
	uint8_t sealed[400], salt[130], shared[32], key[44];
	int len;

	hex(inst, f->proplet.agent.inst, 16);
	len = snprintf(where, sizeof where, "propeller sealed v1%c%s%c%s%c%s%c%032x%c%s", 0,
		       f->config.id, 0, inst, 0, uid, 0, run, 0, name);
	crypto_public(ephemeral, salt, box->len);
	memcpy(salt + box->len, box->raw, box->len);
	(void)crypto_agree(ephemeral, box->raw, box->len, shared);
	(void)crypto_derive(NULL, shared, salt, 2u * box->len, where, (size_t)len, key, sizeof key);
	sealed[0] = box->scheme;
	memcpy(sealed + 1, salt, box->len);
	crypto_encrypt(key, key + 32, where, (size_t)len, (const uint8_t *)value, strlen(value),
		       sealed + 1 + box->len);
	base64(text, sealed, 1u + box->len + strlen(value) + 16);
	return text;
}

/* -- life --------------------------------------------------------------------------------------- */

void fake_init(struct fake *f)
{
	static const char *const imports[] = {"wasi_snapshot_preview1", "propeller.now", NULL};
	static const struct proplet_label labels[] = {{"site", "north"}};
	struct proplet_port *const port = &f->port;

	memset(f, 0, sizeof *f);
	crypto_port(port, device_seed);
	*port = (struct proplet_port){
		.ctx = f, .mono = mono, .wall = wall, .random = chance,
		.hash_begin = port->hash_begin, .hash_add = port->hash_add,
		.hash_end = port->hash_end, .verify = port->verify,
		.get = get, .put = put, .del = del,
		.blob_have = blob_have, .blob_write = blob_write, .blob_read = blob_read,
		.blob_seal = blob_seal, .blob_drop = blob_drop, .blob_at = blob_at,
		.blob_room = blob_room, .publish = publish, .subscribe = subscribe,
		.reset_cause = reset_cause, .reboot = reboot, .say = say,
	};
	f->engine = (struct proplet_engine){
		.ctx = f, .name = "fake", .version = "1", .slots = 4, .memory = 1 << 20,
		.imports = imports, .check = check, .start = start, .stop = stop, .poll = poll,
		.log_read = log_read,
	};
	f->config = (struct proplet_config){
		.domain = "d", .channel = "c", .id = "p1", .root = ROOT, .key = DEVICE,
		.arch = "thumbv7m", .os = "test", .agent = "1", .storage = 1 << 16,
		.max_module = 4096, .max_payload = 2048, .chunk = 256, .heartbeat = 10000,
		.grace = 500, .debounce = 30, .window = 2, .labels = labels, .label_count = 1,
	};
	f->memory = (struct proplet_memory){
		.desired = desired, .incoming = incoming, .document = sizeof desired,
		.scratch = scratch, .scratch_size = sizeof scratch, .notes = notes,
		.notes_size = sizeof notes, .runs = runs, .run_count = 8, .stones = stones,
		.stone_count = 8, .times = times, .times_count = 4, .blobs = blobs, .blob_count = 24, .early = early,
		.early_size = sizeof early, .told = told, .told_size = sizeof told, .body = body,
		.body_size = sizeof body,
	};
	f->room = 1 << 16;
	f->mono = 1000;
	f->wall = UINT64_C(1800000000000);
	f->synced = true;
	f->life = 3;
}

static int sign(void *ctx, uint8_t sig[64], const void *msg, size_t len)
{
	(void)ctx;
	return crypto_sign(device_seed, sig, msg, len);
}

static void lose_power(struct fake *f)
{
	f->cut_at = 0;
	f->online = false;
	f->queued = 0;
	memset(f->guests, 0, sizeof f->guests);
}

bool fake_boot(struct fake *f)
{
	int why;

	f->port.sign = sign;
	f->online = false;
	f->queued = 0;
	memset(f->guests, 0, sizeof f->guests);
	if (setjmp(f->down) != 0) {
		lose_power(f);
		return false;
	}
	why = proplet_init(&f->proplet, &f->config, &f->port, &f->engine, &f->memory);
	CHECK(why == PROPLET_OK || f->broken, "init: %d", why);
	return why == PROPLET_OK;
}

void fake_connect(struct fake *f)
{
	f->online = true;
	proplet_connected(&f->proplet);
}

void fake_disconnect(struct fake *f)
{
	f->online = false;
	f->queued = 0;
	proplet_disconnected(&f->proplet);
}

static void deliver(struct fake *f)
{
	static struct fake_message m;

	while (f->queued > 0) {
		uint8_t *exact;

		m = f->queue[0];
		f->queued--;
		memmove(&f->queue[0], &f->queue[1], f->queued * sizeof f->queue[0]);
		exact = malloc(m.len + 1);
		memcpy(exact, m.payload, m.len);
		proplet_heard(&f->proplet, m.topic, exact, m.len);
		free(exact);
	}
}

void fake_run(struct fake *f, unsigned ms)
{
	const uint64_t end = f->mono + ms;

	for (;;) {
		uint64_t wake;

		deliver(f);
		wake = proplet_tick(&f->proplet);
		if (f->queued > 0) {
			continue;
		}
		if (f->mono >= end) {
			return;
		}
		/* Guests live by polls, so time passes in small steps while one is alive. */
		wake = wake > f->mono + 10 ? f->mono + 10 : wake;
		f->mono = wake > f->mono ? wake : f->mono + 1;
		f->mono = f->mono > end ? end : f->mono;
	}
}

bool fake_try(struct fake *f, unsigned ms)
{
	if (setjmp(f->down) != 0) {
		lose_power(f);
		return false;
	}
	if (!f->online) {
		fake_connect(f);
	}
	fake_run(f, ms);
	return true;
}

/* -- looking ------------------------------------------------------------------------------------ */

static void uid_from(const char *text, uint8_t uid[16])
{
	unsigned at = 0;

	for (const char *c = text; *c != 0 && at < 16; c += 2) {
		unsigned byte = 0;

		c += *c == '-';
		sscanf(c, "%2x", &byte);
		uid[at++] = (uint8_t)byte;
	}
}

struct pp_view fake_reported(struct fake *f, const char *uid)
{
	struct pp_items items = pp_items(
		pp_field((struct pp_view){f->report, f->report_len}, PP_REPORT_TASKS));
	struct pp_view run;
	uint8_t wanted[16];
	size_t len;

	uid_from(uid, wanted);
	while (f->report_len > 0 && pp_next(&items, &run)) {
		if (memcmp(pp_bytes(pp_field(run, PP_RUN_REPORT_UID), &len), wanted, 16) == 0) {
			return run;
		}
	}
	return (struct pp_view){NULL, 0};
}

int fake_state(struct fake *f, const char *uid)
{
	return (int)pp_int(pp_field(fake_reported(f, uid), PP_RUN_REPORT_STATE), -1);
}

unsigned fake_starts(const struct fake *f, const char *uid)
{
	uint8_t wanted[16];
	unsigned count = 0;

	uid_from(uid, wanted);
	for (unsigned i = 0; i < f->started; i++) {
		count += memcmp(f->starts[i].uid, wanted, 16) == 0;
	}
	return count;
}

int64_t fake_observed_gen(struct fake *f)
{
	const struct pp_view report = {f->report, f->report_len};

	if (f->report_len == 0) {
		return -1;
	}
	return pp_int(pp_field(pp_field(report, PP_REPORT_OBSERVED), PP_OBSERVED_GEN), 0);
}

const char *fake_entry(char *to, size_t cap, const char *uid, unsigned run, const char *mode,
		       const char *module, unsigned size, unsigned digest, const char *more)
{
	snprintf(to, cap,
		 "{\"uid\":\"%s\",\"ref\":\"Task/default/t\",\"run\":\"%032x\",\"cause\":\"%s\","
		 "\"mode\":\"%s\",\"digest\":\"sha256:%064x\",\"module\":{\"digest\":\"%s\","
		 "\"size\":%u},\"entrypoint\":\"_start\"%s}",
		 uid, run, strcmp(mode, "once") == 0 ? "once" : "daemon", mode, digest, module, size,
		 more);
	return to;
}
