/* Native code: what a device takes of it, and that it gets none where it offered none. */
#include <stdlib.h>

#include "../core/admit.h"
#include "fake.h"

#define A "00000000-0000-0000-0000-00000000000a"
#define HERE "thumbv7/wamr-6"
#define SIZE 132

static struct fake f;
static uint8_t file[SIZE];
static uint32_t file_len;
static char text[1200], wasm[72], native[72];

static int read_file(void *ctx, const uint8_t digest[32], uint32_t off, void *buf, size_t len)
{
	(void)ctx;
	(void)digest;
	if (off > file_len || len > file_len - off) {
		return PROPLET_MISSING;
	}
	memcpy(buf, file + off, len);
	return PROPLET_OK;
}

static void put(uint32_t at, uint32_t word)
{
	for (unsigned i = 0; i < 4; i++) {
		file[at + i] = (uint8_t)(word >> (8 * i));
	}
}

/* As wamrc writes it: magic, version, the target, and two sections. */
static void make(void)
{
	memset(file, 0, sizeof file);
	file_len = sizeof file;
	memcpy(file, "\0aot", 4);
	put(4, 6);
	put(12, 48);
	file[20] = 1;
	file[32] = 6; /* bulk memory, threads */
	memcpy(file + 48, "thumbv7", 7);
	put(64, 1);
	put(68, 21);
	put(76, 1);
	file[80] = 3; /* shared, with a most */
	put(96, 2);
	put(100, SIZE - 104);
}

static bool taken(const char *here, struct pp_words *why)
{
	struct proplet_port port;
	struct proplet_engine engine;
	struct proplet_guest guest;

	memset(&port, 0, sizeof port);
	memset(&engine, 0, sizeof engine);
	memset(&guest, 0, sizeof guest);
	port.blob_read = read_file;
	engine.aot = here;
	guest.aot = true;
	guest.module_size = file_len;
	return pp_admit(&port, &engine, &guest, why);
}

static void refused(const char *here, const char *words)
{
	struct pp_words why;

	CHECK(!taken(here, &why), "taken");
	CHECK(strstr(why.at, words) != NULL, "said %s, not %s", why.at, words);
}

static void admission(void)
{
	struct pp_words why;

	make();
	CHECK(taken(HERE, &why), "%s", why.at);
	refused("thumbv7em/wamr-6", "made for " HERE ", this is thumbv7em/wamr-6");
	refused("thumbv7/wamr-5", "made for " HERE);
	refused(NULL, "no place for any");
	file[1] = 'b';
	refused(HERE, "does not begin like it");
	make();
	put(12, 52);
	refused(HERE, "does not begin with what it was made for");
	make();
	file[32] = 2;
	refused(HERE, "without --enable-multi-thread");
	make();
	file[80] = 1;
	refused(HERE, "memory is not shared: nothing could stop it");
	make();
	put(76, 0);
	refused(HERE, "memory is not shared");
	make();
	put(68, 4);
	refused(HERE, "does not tell of its memory");
	make();
	put(4, UINT32_MAX);
	refused(HERE, "made for thumbv7/wamr-4294967295");
	make();
	memcpy(file + 48, "thumbv7\nthumbv7x", 16);
	refused(HERE, "names no architecture");
	make();
	put(100, UINT32_MAX);
	refused(HERE, "cut short at byte 132");
	make();
	put(68, UINT32_MAX - 3);
	refused(HERE, "cut short at byte 132");
}

/* Cut anywhere, and every byte of the head another: none reads beyond its end, and only what is for
 * this place is taken. */
static void hostile(void)
{
	struct pp_words why;

	for (uint32_t len = 0; len < SIZE; len++) {
		make();
		file_len = len;
		/* What ends where a section ends is whole, as far as a device can tell. */
		CHECK(taken(HERE, &why) == (len >= 93 && len <= 96), "cut at %u: %s",
		      len, why.at);
	}
	for (uint32_t at = 0; at < 104; at++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			make();
			file[at] ^= (uint8_t)(1u << bit);
			if (at < 16 || (at >= 48 && at < 64)) {
				CHECK(!taken(HERE, &why), "byte %u, bit %u", at, bit);
			} else {
				(void)taken(HERE, &why);
			}
		}
	}
}

/* A Wasm module is not run as native code, nor the other way round. */
static void neither_for_the_other(void)
{
	struct proplet_port port;
	struct proplet_engine engine;
	struct proplet_guest guest;
	struct pp_words why;
	static const char *const none[] = {NULL};

	make();
	memset(&port, 0, sizeof port);
	memset(&engine, 0, sizeof engine);
	memset(&guest, 0, sizeof guest);
	port.blob_read = read_file;
	engine.aot = HERE;
	engine.imports = none;
	guest.module_size = file_len;
	guest.entrypoint = (struct proplet_text){"_start", 6};
	CHECK(!pp_admit(&port, &engine, &guest, &why) && strstr(why.at, "not_wasm") != NULL, "%s",
	      why.at);
	memcpy(file, "\0asm", 4);
	refused(HERE, "does not begin like it");
}

/* -- a device -------------------------------------------------------------------------------- */

static void up(const char *here)
{
	fake_init(&f);
	f.engine.aot = here;
	CHECK(fake_boot(&f), "boot");
	fake_connect(&f);
	fake_trust(&f, 1);
	fake_run(&f, 50);
	fake_module(&f, 600, wasm);
	make();
	fake_serve(&f, file, file_len, native);
	f.life = 1000000;
}

static const char *task(const char *target, const char *more)
{
	snprintf(text, sizeof text,
		 "[{\"uid\":\"" A "\",\"ref\":\"Task/default/t\",\"run\":\"%032x\",\"cause\":\"once\","
		 "\"mode\":\"once\",\"digest\":\"sha256:%064x\",\"module\":{\"digest\":\"%s\","
		 "\"size\":639,\"aot\":{\"digest\":\"%s\",\"size\":%u,\"target\":\"%s\"}},"
		 "\"entrypoint\":\"_start\"%s}]",
		 1, 1, wasm, native, (unsigned)file_len, target, more);
	return text;
}

static bool offers(const char *word)
{
	struct pp_items items = pp_items(pp_field(f.proplet.agent.hello, PP_HELLO_IMPORTS));
	struct pp_view item;
	bool found = false;

	while (pp_next(&items, &item)) {
		const struct proplet_text one = pp_text(item);

		found = found || (one.len == strlen(word) && memcmp(one.at, word, one.len) == 0);
	}
	return found;
}

static bool error_has(const char *words)
{
	const struct proplet_text error =
		pp_text(pp_field(fake_reported(&f, A), PP_RUN_REPORT_ERROR));
	char copy[300];

	snprintf(copy, sizeof copy, "%.*s", (int)error.len, error.at);
	CHECK(strstr(copy, words) != NULL, "error is: %s", copy);
	return true;
}

static void runs(void)
{
	up(HERE);
	CHECK(offers("aot:" HERE), "says so");
	fake_desire(&f, 1, task(HERE, ""));
	fake_run(&f, 500);
	CHECK(fake_state(&f, A) == PP_RUNNING, "state %d", fake_state(&f, A));
	CHECK(f.pieces == 1, "only the native code is fetched: %u pieces", f.pieces);
	CHECK(f.guests[0].alive && f.guests[0].aot, "as native code");
	CHECK(fake_boot(&f), "boot");
	f.engine.aot = NULL; /* its owner has thought better of it */
	CHECK(fake_boot(&f), "boot");
	fake_connect(&f);
	fake_run(&f, 500);
	CHECK(!offers("aot:" HERE) && fake_starts(&f, A) == 1, "and never again");
}

static void not_here(const char *here, const char *target, const char *more, const char *words)
{
	up(here);
	fake_desire(&f, 1, task(target, more));
	fake_run(&f, 500);
	CHECK(fake_state(&f, A) == PP_REFUSED && fake_starts(&f, A) == 0, "state %d",
	      fake_state(&f, A));
	error_has(words);
}

static void is_refused(void)
{
	not_here(NULL, HERE, "", "native code for " HERE " is not run here");
	not_here(HERE, "thumbv7em/wamr-6", "", "native code for thumbv7em/wamr-6 is not run here");
	not_here(HERE, "", "", "native code for  is not run here");
	not_here(HERE, HERE, ",\"fuel\":1000", "fuel of native code cannot be counted");
	CHECK(f.pieces == 0, "nothing was fetched");
	up(HERE);
	memcpy(file + 48, "thumbv6m", 8); /* the document says one thing, the file another */
	fake_serve(&f, file, file_len, native);
	fake_desire(&f, 1, task(HERE, ""));
	fake_run(&f, 500);
	CHECK(fake_state(&f, A) == PP_REFUSED && fake_starts(&f, A) == 0, "refused");
	error_has("made for thumbv6m/wamr-6, this is " HERE);
}

/* Where a fleet has release lists, native code counts by its own digest. */
static void released(void)
{
	static uint8_t lists[2048];
	char body[200];

	up(HERE);
	f.memory.releases = lists;
	f.memory.releases_size = sizeof lists;
	CHECK(fake_boot(&f), "boot");
	fake_connect(&f);
	fake_trust_releasing(&f, 2);
	fake_run(&f, 100);
	snprintf(body, sizeof body, "{\"v\":1,\"version\":1,\"modules\":[\"%s\"]}", wasm);
	fake_send(&f, PP_TOPIC_RELEASES, PP_FOR_RELEASES, body);
	fake_desire(&f, 1, task(HERE, ""));
	fake_run(&f, 2000);
	CHECK(fake_starts(&f, A) == 0 && f.pieces == 0, "only its Wasm is on the list");
	error_has("NotReleased");
	snprintf(body, sizeof body, "{\"v\":1,\"version\":2,\"modules\":[\"%s\"]}", native);
	fake_send(&f, PP_TOPIC_RELEASES, PP_FOR_RELEASES, body);
	fake_run(&f, 2000);
	CHECK(fake_starts(&f, A) == 1, "released");
}

int main(void)
{
	admission();
	hostile();
	neither_for_the_other();
	runs();
	is_refused();
	released();
	return harness_end("aot");
}
