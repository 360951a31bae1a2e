/* Verdicts on modules: the Linux proplet's, word for word (tests/vectors/modules.json). */
#include <stdlib.h>

#include "../core/admit.h"
#include "../core/json.h"
#include "harness.h"

static uint8_t wasm[1 << 16];
static size_t wasm_len;

static int read_blob(void *ctx, const uint8_t digest[32], uint32_t off, void *buf, size_t len)
{
	(void)ctx;
	(void)digest;
	if (off + len > wasm_len) {
		return PROPLET_MISSING;
	}
	memcpy(buf, wasm + off, len);
	return PROPLET_OK;
}

int main(int argc, char **argv)
{
	json file = json_file(argc > 1 ? argv[1] : "firmware/tests/vectors", "modules.json");
	const char *offered[16];
	char names[16][64], entrypoint[256], verdict[1024], name[128];
	struct proplet_port port;
	struct proplet_engine engine;
	unsigned count = 0;

	memset(&port, 0, sizeof port);
	memset(&engine, 0, sizeof engine);
	port.blob_read = read_blob;
	for (json one = json_first(json_get(file, "offered")); one != NULL; one = json_next(one)) {
		json_text(one, names[count], sizeof names[0]);
		offered[count] = names[count];
		count++;
	}
	offered[count] = NULL;
	engine.imports = offered;
	count = 0;
	for (json test = json_first(json_get(file, "cases")); test != NULL; test = json_next(test)) {
		struct proplet_guest guest;
		struct pp_words why;
		json most = json_get(test, "memory");
		bool taken;

		memset(&guest, 0, sizeof guest);
		json_text(json_get(test, "name"), name, sizeof name);
		json_text(json_get(test, "verdict"), verdict, sizeof verdict);
		wasm_len = json_hex(json_get(test, "wasm"), wasm, sizeof wasm);
		guest.module_size = (uint32_t)wasm_len;
		guest.entrypoint = (struct proplet_text){
			entrypoint,
			json_text(json_get(test, "entrypoint"), entrypoint, sizeof entrypoint)};
		guest.memory = most == NULL ? PROPLET_UNLIMITED : (uint64_t)json_number(most);
		taken = pp_admit(&port, &engine, &guest, &why);
		CHECK(taken == (verdict[0] == 0), "%s: taken %d", name, taken);
		if (!taken) {
			CHECK(strcmp(verdict, why.at) == 0, "%s:\n  said %s\n  not  %s", name, why.at,
			      verdict);
		}
		count++;
	}
	CHECK(count > 60, "%u cases", count);
	return harness_end("admit");
}
