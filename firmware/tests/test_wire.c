/* The wire vectors that Python is held to, read by the C core: same bytes, same words. */
#include <stdlib.h>

#include "../core/json.h"
#include "harness.h"
#include "proplet/wire.h"

static uint8_t body[1 << 17], made[1 << 17], again[1 << 17];
static char text[1 << 17], name[256];

struct buffer {
	uint8_t *at;
	size_t len, cap;
};

static void take(void *ctx, const void *data, size_t len)
{
	struct buffer *const b = ctx;

	if (len > b->cap - b->len) {
		abort();
	}
	memcpy(b->at + b->len, data, len);
	b->len += len;
}

static const struct pp_shape *shape_of(json message)
{
	static const struct pp_shape *const all[] = {
		&pp_shape_desired, &pp_shape_report, &pp_shape_status, &pp_shape_hello,
		&pp_shape_op, &pp_shape_op_answer, &pp_shape_call, &pp_shape_call_answer,
		&pp_shape_blob_get, &pp_shape_blob_ack,
		&pp_shape_manager_status, &pp_shape_echo, &pp_shape_trust,
		&pp_shape_releases, &pp_shape_log, &pp_shape_metrics,
	};

	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
		if (pp_json_is(message, all[i]->name)) {
			return all[i];
		}
	}
	return NULL;
}

static const char *named(json test)
{
	json_text(json_get(test, "name"), name, sizeof name);
	return name;
}

static void cases(json file)
{
	unsigned count = 0;

	for (json test = json_first(json_get(file, "cases")); test != NULL; test = json_next(test)) {
		const struct pp_shape *const shape = shape_of(json_get(test, "message"));
		struct pp_out out, other;
		struct buffer back = {again, 0, sizeof again};
		size_t len, cbor;
		enum pp_reject why;

		named(test);
		len = json_text(json_get(test, "json"), text, sizeof text);
		pp_out_init(&out, made, sizeof made);
		why = pp_read(shape, (const uint8_t *)text, len, &out);
		CHECK(why == PP_TAKEN, "%s: %s", name, pp_reject_word(why));
		cbor = json_hex(json_get(test, "cbor"), body, sizeof body);
		CHECK(out.len == cbor && memcmp(made, body, cbor) == 0, "%s as CBOR", name);
		pp_out_init(&other, again, sizeof again);
		why = pp_read(shape, body, cbor, &other);
		CHECK(why == PP_TAKEN, "%s: %s", name, pp_reject_word(why));
		CHECK(other.len == cbor && memcmp(again, body, cbor) == 0, "%s from CBOR", name);
		pp_json_shape(shape, (struct pp_view){made, out.len}, false, 0,
			      (struct pp_sink){take, &back});
		CHECK(back.len == len && memcmp(again, text, len) == 0, "%s as JSON: %.*s", name,
		      (int)back.len, (char *)again);
		/* Whatever is cut off is refused, and never read past. */
		for (size_t cut = 0; cut < cbor; cut++) {
			uint8_t *const exact = malloc(cut + 1);

			memcpy(exact, body, cut);
			pp_out_init(&other, again, sizeof again);
			CHECK(pp_read(shape, exact, cut, &other) != PP_TAKEN, "%s cut", name);
			free(exact);
		}
		count++;
	}
	CHECK(count > 25, "%u cases", count);
}

static void also_read(json file)
{
	json odd = json_get(file, "also_read");
	struct pp_out first = {0};
	static uint8_t wanted[512];

	for (unsigned cbor = 0; cbor < 2; cbor++) {
		for (json test = json_first(json_get(odd, cbor ? "cbor" : "json")); test != NULL;
		     test = json_next(test)) {
			struct pp_out out;
			size_t len;
			enum pp_reject why;

			named(test);
			len = cbor ? json_hex(json_get(test, "cbor"), body, sizeof body)
				   : json_text(json_get(test, "json"), (char *)body, sizeof body);
			pp_out_init(&out, made, sizeof made);
			why = pp_read(&pp_shape_status, body, len, &out);
			CHECK(why == PP_TAKEN, "%s: %s", name, pp_reject_word(why));
			if (first.at == NULL) {
				pp_out_init(&first, wanted, sizeof wanted);
				pp_put_raw(&first, made, out.len);
			}
			CHECK(out.len == first.len && memcmp(made, wanted, out.len) == 0, "%s", name);
		}
	}
}

static void rejects(json file)
{
	unsigned count = 0;

	for (unsigned cbor = 0; cbor < 2; cbor++) {
		for (json test = json_first(json_get(file, cbor ? "cbor" : "json")); test != NULL;
		     test = json_next(test)) {
			struct pp_out out;
			size_t len;
			uint8_t *exact;
			enum pp_reject why;

			named(test);
			len = cbor ? json_hex(json_get(test, "cbor"), body, sizeof body)
				   : json_text(json_get(test, "json"), (char *)body, sizeof body);
			exact = malloc(len + 1);
			memcpy(exact, body, len);
			pp_out_init(&out, made, sizeof made);
			why = pp_read(shape_of(json_get(test, "message")), exact, len, &out);
			free(exact);
			CHECK(pp_json_is(json_get(test, "reject"), pp_reject_word(why)), "%s: %s",
			      name, pp_reject_word(why));
			count++;
		}
	}
	CHECK(count > 80, "%u cases", count);
}

static void lists(json file, const char *which, const struct pp_kind *kind,
		  const struct proplet_port *port)
{
	for (json test = json_first(json_get(file, which)); test != NULL; test = json_next(test)) {
		const size_t len = json_text(json_get(test, "canonical"), text, sizeof text);
		const size_t cbor = json_hex(json_get(test, "cbor"), body, sizeof body);
		struct buffer back = {again, 0, sizeof again};
		struct proplet_hash state;
		struct pp_out out;
		uint8_t digest[32], wanted[32];
		char spelled[80];
		enum pp_reject why;

		pp_out_init(&out, made, sizeof made);
		why = pp_read_list(kind, (const uint8_t *)text, len, &out);
		CHECK(why == PP_TAKEN, "%s: %s", which, pp_reject_word(why));
		CHECK(out.len == cbor && memcmp(made, body, cbor) == 0, "%s as CBOR", which);
		pp_json(kind, (struct pp_view){body, cbor}, true, 0, (struct pp_sink){take, &back});
		CHECK(back.len == len && memcmp(again, text, len) == 0, "%s canonical", which);
		crypto_hash_begin(NULL, &state);
		crypto_hash_add(NULL, &state, again, back.len);
		crypto_hash_end(NULL, &state, digest);
		json_text(json_get(test, "digest"), spelled, sizeof spelled);
		for (unsigned i = 0; i < 32; i++) {
			unsigned byte;

			sscanf(spelled + 7 + 2 * i, "%2x", &byte);
			wanted[i] = (uint8_t)byte;
		}
		CHECK(memcmp(digest, wanted, 32) == 0, "%s digest", which);
	}
	(void)port;
}

static void pieces(json file)
{
	for (json test = json_first(json_get(file, "good")); test != NULL; test = json_next(test)) {
		const size_t len = json_hex(json_get(test, "body"), body, sizeof body);
		json value = json_get(test, "value");
		struct pp_out out;

		named(test);
		pp_out_init(&out, made, sizeof made);
		if (pp_json_is(json_get(test, "message"), "BlobChunk")) {
			struct pp_chunk chunk;

			CHECK(pp_chunk_read(body, len, &chunk) == PP_TAKEN, "%s", name);
			CHECK(chunk.off == (uint64_t)json_number(json_get(value, "off")), "%s", name);
			CHECK(chunk.req == (uint64_t)json_number(json_get(value, "req")), "%s", name);
			CHECK(pp_json_is(json_get(value, "error"), pp_blob_error_word(chunk.error)),
			      "%s", name);
			CHECK(pp_chunk_write(&out, &chunk) == PP_TAKEN, "%s", name);
		} else {
			struct pp_put put;

			CHECK(pp_put_read(body, len, &put) == PP_TAKEN, "%s", name);
			CHECK(put.total == (uint64_t)json_number(json_get(value, "total")), "%s", name);
			CHECK(pp_put_write(&out, &put) == PP_TAKEN, "%s", name);
			pp_put_raw(&out, put.data, put.len);
		}
		CHECK(out.len == len && memcmp(made, body, len) == 0, "%s", name);
	}
	for (json test = json_first(json_get(file, "bad")); test != NULL; test = json_next(test)) {
		const size_t len = json_hex(json_get(test, "body"), body, sizeof body);
		struct pp_chunk chunk;
		struct pp_put put;
		const enum pp_reject why = pp_json_is(json_get(test, "message"), "BlobChunk")
						   ? pp_chunk_read(body, len, &chunk)
						   : pp_put_read(body, len, &put);

		CHECK(pp_json_is(json_get(test, "reject"), pp_reject_word(why)), "%s: %s",
		      named(test), pp_reject_word(why));
	}
}

static bool same(struct proplet_text one, json other)
{
	char word[256];
	const size_t len = json_text(other, word, sizeof word);

	return one.len == len && memcmp(one.at, word, len) == 0;
}

static void topics(json file)
{
	char domain[65], channel[65], id[65], topic[512], made_topic[512], extra[80];
	const struct pp_channel fleet = {domain, channel};

	json_text(json_get(file, "domain"), domain, sizeof domain);
	json_text(json_get(file, "channel"), channel, sizeof channel);
	for (json test = json_first(json_get(file, "good")); test != NULL; test = json_next(test)) {
		struct pp_heard heard;

		json_text(json_get(test, "topic"), topic, sizeof topic);
		heard = pp_topic_parse(&fleet, topic);
		CHECK(pp_json_is(json_get(test, "kind"), pp_topic_word(heard.topic)), "%s", topic);
		CHECK(same(heard.proplet, json_get(test, "proplet")), "%s", topic);
		CHECK(same(heard.extra, json_get(test, "extra")), "%s", topic);
		json_text(json_get(test, "proplet"), id, sizeof id);
		json_text(json_get(test, "extra"), extra, sizeof extra);
		CHECK(pp_topic_write(&fleet, heard.topic, id, extra,
				     strcmp(extra, "p256") == 0 ? 2 : 1, made_topic,
				     sizeof made_topic) &&
			      strcmp(made_topic, topic) == 0,
		      "%s", topic);
	}
	for (json test = json_first(json_get(file, "bad")); test != NULL; test = json_next(test)) {
		json_text(test, topic, sizeof topic);
		CHECK(pp_topic_parse(&fleet, topic).topic == PP_TOPIC_FOREIGN, "%s", topic);
	}
}

static uint8_t role_of(json roles)
{
	static const char *const words[] = {"root", "manager", "gateway", "device", "release"};
	uint8_t bits = 0;

	for (json role = json_first(roles); role != NULL; role = json_next(role)) {
		for (unsigned i = 0; i < 5; i++) {
			if (pp_json_is(role, words[i])) {
				bits = (uint8_t)(bits | 1u << i);
			}
		}
	}
	return bits;
}

static enum pp_purpose purpose_of(json word)
{
	unsigned i;

	for (i = 0; i < PP_PURPOSES && !pp_json_is(word, pp_purpose_word((enum pp_purpose)i)); i++) {
	}
	return (enum pp_purpose)i;
}

static void frames(json file, struct proplet_port *port)
{
	struct pp_key keys[16];
	char names[16][64], key_text[160];
	uint8_t seeds[16][32];
	size_t count = 0, all = 0;

	for (json one = json_first(json_get(file, "keys")); one != NULL; one = json_next(one)) {
		struct pp_key key;
		struct proplet_text spelled = {key_text, json_text(json_get(one, "text"), key_text,
								   sizeof key_text)};

		CHECK(pp_key_read(port, spelled, &key) == PP_TAKEN, "%s", key_text);
		CHECK(pp_json_is(json_get(one, "kid"), key.kid), "%s", key_text);
		key.roles = role_of(json_get(one, "roles"));
		all++;
		if (key.roles == 0) {
			continue;
		}
		keys[count] = key;
		json_text(json_get(one, "name"), names[count], sizeof names[0]);
		json_hex(json_get(one, "seed"), seeds[count], 32);
		count++;
	}
	CHECK(all > count && count > 3, "%zu keys", count);
	for (json test = json_first(json_get(file, "good")); test != NULL; test = json_next(test)) {
		const size_t len = json_hex(json_get(test, "frame"), body, sizeof body);
		const size_t size = json_hex(json_get(test, "body"), made, sizeof made);
		const enum pp_purpose purpose = purpose_of(json_get(test, "purpose"));
		struct pp_opened opened = {NULL, 0, 0};
		size_t i;
		const enum pp_reject why =
			pp_frame_open(port, purpose, body, len, keys, count, &opened);

		CHECK(why == PP_TAKEN, "%s: %s", named(test), pp_reject_word(why));
		CHECK(opened.len == size && memcmp(opened.body, made, size) == 0, "%s", name);
		for (i = 0; i < count && !pp_json_is(json_get(test, "key"), names[i]); i++) {
		}
		if (i < count && keys[i].alg == PROPLET_ED25519) { /* the other one signs by chance */
			port->ctx = seeds[i];
			memcpy(again + pp_frame_head(&keys[i]), made, size);
			CHECK(pp_frame_seal(port, purpose, &keys[i], again, size) == 0, "%s", name);
			CHECK(memcmp(again, body, len) == 0, "%s sealed", name);
		}
	}
	for (json test = json_first(json_get(file, "bad")); test != NULL; test = json_next(test)) {
		const size_t len = json_hex(json_get(test, "frame"), body, sizeof body);
		uint8_t *const exact = malloc(len + 1);
		struct pp_opened opened;
		enum pp_reject why;

		memcpy(exact, body, len);
		why = pp_frame_open(port, purpose_of(json_get(test, "purpose")), exact, len, keys,
				    count, &opened);
		free(exact);
		CHECK(pp_json_is(json_get(test, "reject"), pp_reject_word(why)), "%s: %s",
		      named(test), pp_reject_word(why));
	}
}

static void words(json file)
{
	unsigned at = 1;

	for (json word = json_first(json_get(file, "reject")); word != NULL; word = json_next(word)) {
		CHECK(pp_json_is(word, pp_reject_word((enum pp_reject)at)), "%s",
		      pp_reject_word((enum pp_reject)at));
		at++;
	}
	CHECK(at == PP_DIGEST_MISMATCH + 1, "%u words", at);
}

static uint8_t box_key[32];

static int agree(void *ctx, const uint8_t *pub, size_t pub_len, uint8_t shared[32])
{
	(void)ctx;
	return crypto_agree(box_key, pub, pub_len, shared);
}

static void hex_of(json place, const char *key, uint8_t out[16])
{
	char spelled[64], plain[33];
	size_t len = 0;

	json_text(json_get(place, key), spelled, sizeof spelled);
	for (const char *c = spelled; *c != 0 && len < 32; c++) {
		if (*c != '-') {
			plain[len++] = *c;
		}
	}
	for (size_t i = 0; i < 16; i++) {
		unsigned byte = 0;

		sscanf(plain + 2 * i, "%2x", &byte);
		out[i] = (uint8_t)byte;
	}
}

/* One sealed value; its length where it opens. */
static enum pp_reject open_one(const struct proplet_port *port, const struct pp_box *box, json test,
			       size_t *size)
{
	const json place = json_get(test, "place");
	static char device[65], variable[129];
	uint8_t inst[16], uid[16], run[16];
	struct pp_place where = {device, inst, uid, run, {variable, 0}};
	const size_t len = json_base64(json_get(test, "sealed"), body, sizeof body);
	uint8_t *exact = malloc(len + 1);
	enum pp_reject why;

	json_text(json_get(place, "device"), device, sizeof device);
	where.name.len = json_text(json_get(place, "name"), variable, sizeof variable);
	hex_of(place, "inst", inst);
	hex_of(place, "uid", uid);
	hex_of(place, "run", run);
	memcpy(exact, body, len); /* a read beyond its end is seen */
	why = pp_box_open(port, box, &where, exact, len, made, sizeof made, size);
	free(exact);
	return why;
}

static void sealed_by(json told, const char *private, struct proplet_port *port)
{
	const json key = json_get(told, "box");
	struct pp_box box, none;
	size_t size, len;

	json_hex(json_get(key, private), box_key, sizeof box_key);
	len = json_text(json_get(key, "text"), text, sizeof text);
	CHECK(pp_box_read((struct proplet_text){text, len}, &box) == PP_TAKEN, "%s", text);
	for (size_t cut = 0; cut < len; cut++) {
		CHECK(pp_box_read((struct proplet_text){text, cut}, &none) == PP_BAD_KEY && none.len == 0,
		      "a key cut at %zu", cut);
	}
	for (json test = json_first(json_get(told, "good")); test != NULL; test = json_next(test)) {
		const size_t value = json_hex(json_get(test, "value"), again, sizeof again);

		if (json_number(json_get(test, "zeros")) > 0) {
			continue; /* told by its digest alone */
		}
		CHECK(open_one(port, &box, test, &size) == PP_TAKEN && size == value &&
			      memcmp(made, again, value) == 0,
		      "%s opens", named(test));
	}
	for (json test = json_first(json_get(told, "bad")); test != NULL; test = json_next(test)) {
		enum pp_reject why;

		json_text(json_get(test, "sealed"), text, sizeof text);
		if (text[0] == '*') {
			continue; /* not base64: that is seen where a document is read */
		}
		why = open_one(port, &box, test, &size);
		json_text(json_get(test, "reject"), text, sizeof text);
		CHECK(strcmp(pp_reject_word(why), text) == 0 && size == 0, "%s: %s", named(test),
		      pp_reject_word(why));
	}
}

static void boxes(json told, struct proplet_port *port)
{
	port->agree = agree;
	port->derive = crypto_derive;
	port->unseal = crypto_unseal;
	sealed_by(told, "seed", port);
	sealed_by(json_get(told, "p256"), "scalar", port);
}

int main(int argc, char **argv)
{
	struct proplet_port port;
	const char *const folder = argc > 1 ? argv[1] : "schemas/wire/vectors";

	crypto_port(&port, NULL);
	cases(json_file(folder, "messages.json"));
	also_read(json_file(folder, "messages.json"));
	rejects(json_file(folder, "rejects.json"));
	lists(json_file(folder, "digests.json"), "tasks", &pp_kind_tasks, &port);
	lists(json_file(folder, "digests.json"), "inventories", &pp_kind_inventory, &port);
	pieces(json_file(folder, "blobs.json"));
	topics(json_file(folder, "topics.json"));
	frames(json_file(folder, "frames.json"), &port);
	words(json_file(folder, "words.json"));
	boxes(json_file(folder, "sealed.json"), &port);
	return harness_end("wire");
}
