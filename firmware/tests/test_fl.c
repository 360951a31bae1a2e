/* Federated learning on the device, held to what Python made (tests/vectors/updates.json). */
#include <stdlib.h>

#include "harness.h"
#include "model.h"
#include "update.h"

#define LARGE 16384

static uint8_t file[LARGE], out[LARGE], wanted[LARGE], numbers[LARGE], base[LARGE];
static size_t file_size;
static char text[4096];

static int read_file(void *ctx, const uint8_t digest[32], uint32_t off, void *buf, size_t len)
{
	(void)ctx;
	(void)digest;
	if (off > file_size || len > file_size - off) {
		return PROPLET_MISSING;
	}
	memcpy(buf, file + off, len);
	return PROPLET_OK;
}

static const uint8_t key_seed[32] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
				     16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};

static int sign(void *ctx, uint8_t sig[64], const void *msg, size_t len)
{
	(void)ctx;
	return crypto_sign(key_seed, sig, msg, len);
}

static void make_port(struct proplet_port *port)
{
	crypto_port(port, key_seed);
	port->blob_read = read_file;
	port->sign = sign;
}

static enum pf_encoding encoding_of(json name)
{
	const size_t len = json_text(name, text, sizeof text);

	return pf_encoding_named((struct proplet_text){text, len});
}

static uint32_t count_of(enum pf_encoding encoding, size_t size)
{
	uint32_t count = 0;

	while (pf_body_size(encoding, count) < size) {
		count++;
	}
	return count;
}

static void test_bodies(json whole, const struct proplet_port *port)
{
	const char rounding[] = "propeller-fl-rounding-v1";
	const json arrays = json_get(whole, "numbers");
	uint8_t seed[PF_SEED], key[32];

	json_hex(json_get(whole, "seed"), seed, sizeof seed);
	CHECK(pf_hmac(port, seed, rounding, sizeof rounding - 1, key), "a key");
	for (json one = json_first(json_get(whole, "bodies")); one != NULL; one = json_next(one)) {
		struct pf_given given = {.body = numbers};
		const json start = json_get(one, "base"), wrong = json_get(one, "wrong");
		const enum pf_encoding to = encoding_of(json_get(one, "to"));
		struct pf_philox philox;
		const char *said;
		char name[64];
		size_t size;

		given.encoding = encoding_of(json_get(one, "given"));
		json_text(json_get(one, "numbers"), name, sizeof name);
		size = json_hex(json_get(arrays, name), numbers, sizeof numbers);
		given.count = count_of(given.encoding, size);
		if (given.encoding == PF_Q4_DELTA) {
			given.count = 7; /* eight would take as many bytes */
		}
		CHECK(pf_body_size(given.encoding, given.count) == size, "%s: size", name);
		if (start != NULL) {
			json_text(start, text, sizeof text);
			json_hex(json_get(arrays, text), base, sizeof base);
			given.base = base;
		}
		pf_philox_init(&philox, key);
		memset(out, 0xA5, sizeof out);
		said = pf_given_wrong(&given);
		said = said == NULL ? pf_encode(&given, to, &philox, out) : said;
		if (wrong != NULL) {
			json_text(wrong, text, sizeof text);
			CHECK(said != NULL && strcmp(said, text) == 0, "%s to %d: %s, not %s", name,
			      to, said == NULL ? "taken" : said, text);
			continue;
		}
		size = json_hex(json_get(one, "body"), wanted, sizeof wanted);
		CHECK(said == NULL, "%s to %d: %s", name, to, said);
		CHECK(pf_body_size(to, given.count) == size, "%s to %d: size", name, to);
		CHECK(memcmp(out, wanted, size) == 0, "%s to %d: other bytes", name, to);
		CHECK(out[size] == 0xA5, "%s to %d: beyond its end", name, to);
	}
}

static void test_envelopes(json whole, const struct proplet_port *port)
{
	static uint8_t room[PF_HEAD + PF_META + 64 + PF_SIGNATURE];

	for (json one = json_first(json_get(whole, "envelopes")); one != NULL;
	     one = json_next(one)) {
		struct pf_update update = {
			.encoding = (enum pf_encoding)json_number(json_get(one, "encoding")),
			.round = (uint32_t)json_number(json_get(one, "round")),
			.attempt = (uint32_t)json_number(json_get(one, "attempt")),
			.steps = (uint32_t)json_number(json_get(one, "steps")),
			.samples = (uint64_t)json_number(json_get(one, "samples")),
			.count = (uint64_t)json_number(json_get(one, "count")),
		};
		struct pf_metrics metrics = {.count = 0};
		uint8_t *made, *const body = room + PF_HEAD + PF_META;
		uint32_t size = (uint32_t)json_hex(json_get(one, "body"), body, 64);
		size_t want;

		json_hex(json_get(one, "job"), update.job, 16);
		json_hex(json_get(one, "nonce"), update.nonce, 16);
		json_hex(json_get(one, "base"), update.base, 32);
		json_hex(json_get(one, "layout"), update.layout, 32);
		json_hex(json_get(one, "module"), update.module, 32);
		for (json each = json_first(json_get(one, "metrics")); each != NULL;
		     each = json_next(each)) {
			const size_t len = json_text(json_get(each, "name"), text, sizeof text);
			uint8_t bits[8];
			uint64_t number = 0;
			double value;

			json_hex(json_get(each, "bits"), bits, sizeof bits);
			for (unsigned i = 0; i < 8; i++) {
				number = number << 8 | bits[i];
			}
			memcpy(&value, &number, sizeof value);
			CHECK(pf_metric_tell(&metrics, (uint8_t *)text, len, 7.5) == NULL, "told");
			CHECK(pf_metric_tell(&metrics, (uint8_t *)text, len, value) == NULL,
			      "told again");
		}
		CHECK(pf_update_seal(port, &update, &metrics, body, size, &made, &size) ==
			      PROPLET_OK,
		      "sealed");
		want = json_hex(json_get(one, "update"), wanted, sizeof wanted);
		CHECK(size == want && memcmp(made, wanted, want) == 0, "round %u: other bytes",
		      update.round);
		want = json_text(json_get(one, "measured"), text, sizeof text);
		CHECK(pf_measured(&metrics, update.samples, (char *)out, sizeof out) == want &&
			      memcmp(out, text, want) == 0,
		      "measured: %s\n not %s", (char *)out, text);
		CHECK(pf_measured(&metrics, update.samples, (char *)out, want) == 0,
		      "measured in too little room");
	}
}

static void test_metrics(void)
{
	struct pf_metrics metrics = {.count = 0};
	char name[65] = "m";
	uint64_t bits = (uint64_t)0x7FF << 52;
	double infinite;

	memcpy(&infinite, &bits, sizeof infinite);
	CHECK(pf_metric_tell(&metrics, (const uint8_t *)"a b", 3, 1) != NULL, "a space");
	CHECK(pf_metric_tell(&metrics, (const uint8_t *)"", 0, 1) != NULL, "no name");
	CHECK(pf_metric_tell(&metrics, (const uint8_t *)"a", 1, infinite) != NULL, "infinite");
	memset(name, 'n', 64);
	for (unsigned i = 0; i < PF_METRICS; i++) {
		name[63] = (char)('a' + (i * 7) % PF_METRICS);
		CHECK(pf_metric_tell(&metrics, (uint8_t *)name, 64, -2.2250738585072014e-308) ==
			      NULL,
		      "metric %u", i);
	}
	CHECK(pf_metric_tell(&metrics, (uint8_t *)name, 64, 3) == NULL, "one of them again");
	CHECK(pf_metric_tell(&metrics, (const uint8_t *)"more", 4, 3) != NULL, "one too many");
	for (unsigned i = 1; i < PF_METRICS; i++) {
		CHECK(strcmp(metrics.list[i - 1].name, metrics.list[i].name) < 0, "in order");
	}
	{ /* the longest meta there is fits its room */
		static uint8_t room[PF_HEAD + PF_META + PF_SIGNATURE];
		struct pf_update update = {.encoding = PF_Q8_DELTA, .round = 1, .attempt = 1};
		struct proplet_port port;
		uint8_t *made;
		uint32_t size;

		memset(&port, 0, sizeof port);
		make_port(&port);
		CHECK(pf_update_seal(&port, &update, &metrics, room + PF_HEAD + PF_META, 0, &made,
				     &size) == PROPLET_OK &&
			      made >= room,
		      "the longest meta");
	}
}

static void test_models(json whole, const struct proplet_port *port)
{
	static const uint8_t digest[32];
	uint32_t left;

	for (json one = json_first(json_get(whole, "models")); one != NULL; one = json_next(one)) {
		const json wrong = json_get(one, "wrong"), layout = json_get(one, "layout");
		struct pf_model model;
		const char *said;
		uint32_t count;

		file_size = json_hex(json_get(one, "file"), file, sizeof file);
		said = pf_model_read(port, digest, (uint32_t)file_size, &model);
		if (wrong != NULL) {
			json_text(wrong, text, sizeof text);
			CHECK(said != NULL, "%s: taken", text);
			continue;
		}
		CHECK(said == NULL, "%s", said);
		CHECK(model.count == json_number(json_get(one, "count")), "%u", model.count);
		CHECK(model.at == json_number(json_get(one, "at")), "%u", model.at);
		CHECK(model.has_layout == (layout != NULL), "layout");
		if (layout == NULL) {
			continue;
		}
		json_hex(layout, wanted, sizeof wanted);
		CHECK(memcmp(model.layout, wanted, 32) == 0, "digest of the layout");
		file_size = json_hex(json_get(one, "manifest"), file, sizeof file);
		said = pf_layout_read(port, digest, (uint32_t)file_size, &count);
		CHECK(said == NULL && count == model.count, "%s %u", said, count);
		for (size_t cut = 0; cut < file_size; cut++) {
			CHECK(pf_layout_read(port, digest, (uint32_t)cut, &count) != NULL,
			      "cut at %zu", cut);
		}
		file[file_size++] = ' ';
		CHECK(pf_layout_read(port, digest, (uint32_t)file_size, &count) != NULL, "longer");
	}
	file_size = 4;
	CHECK(pf_layout_read(port, digest, 100, &left) != NULL, "not in storage");
}

static void test_chance(json whole, const struct proplet_port *port)
{
	for (json one = json_first(json_get(whole, "chance")); one != NULL; one = json_next(one)) {
		struct pf_dice dice = {.label = text};
		uint8_t seed[PF_SEED];

		json_text(json_get(one, "label"), text, sizeof text);
		json_hex(json_get(one, "seed"), seed, sizeof seed);
		for (json each = json_first(json_get(one, "pieces")); each != NULL;
		     each = json_next(each)) {
			const size_t len = json_hex(each, wanted, sizeof wanted);

			CHECK(pf_dice_take(&dice, port, seed, out, len) &&
				      memcmp(out, wanted, len) == 0,
			      "%s: %zu bytes", text, len);
		}
	}
}

int main(int argc, char **argv)
{
	const json whole = json_file(argc > 1 ? argv[1] : "firmware/tests/vectors", "updates.json");
	struct proplet_port port;

	memset(&port, 0, sizeof port);
	make_port(&port);
	test_bodies(whole, &port);
	test_envelopes(whole, &port);
	test_metrics();
	test_models(whole, &port);
	test_chance(whole, &port);
	return harness_end("federated learning");
}
