#include "harness.h"

#include <stdlib.h>

#include "../core/base64.h"
#include "../core/json.h"

unsigned harness_checks, harness_failures;
const uint8_t *json_end;

int harness_end(const char *name)
{
	printf("%s: %u checks, %u failed\n", name, harness_checks, harness_failures);
	return harness_failures == 0 && harness_checks > 0 ? 0 : 1;
}

char *harness_load(const char *folder, const char *name, size_t *len)
{
	char path[512];
	FILE *file;
	char *text;
	long size;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	file = fopen(path, "rb");
	if (file == NULL || fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0) {
		fprintf(stderr, "cannot read %s\n", path);
		exit(2);
	}
	rewind(file);
	text = malloc((size_t)size + 1);
	if (text == NULL || fread(text, 1, (size_t)size, file) != (size_t)size) {
		fprintf(stderr, "cannot read %s\n", path);
		exit(2);
	}
	fclose(file);
	text[size] = 0;
	*len = (size_t)size;
	return text;
}

json json_file(const char *folder, const char *name)
{
	size_t len;
	const uint8_t *const text = (const uint8_t *)harness_load(folder, name, &len);
	const enum pp_reject why = pp_json_check(text, len);

	if (why != PP_TAKEN) {
		fprintf(stderr, "%s/%s: %s\n", folder, name, pp_reject_word(why));
		exit(2);
	}
	json_end = text + len;
	return pp_json_space(text, json_end);
}

json json_first(json value)
{
	const uint8_t *const at = pp_json_space(value + 1, json_end);

	return *at == ']' || *at == '}' ? NULL : at;
}

json json_value(json key)
{
	const uint8_t *const colon = pp_json_space(pp_json_skip(key, json_end), json_end);

	return pp_json_space(colon + 1, json_end);
}

json json_next(json item)
{
	const uint8_t *at = pp_json_space(pp_json_skip(item, json_end), json_end);

	if (*at == ':') {
		at = pp_json_space(at + 1, json_end);
		at = pp_json_space(pp_json_skip(at, json_end), json_end);
	}
	return *at == ',' ? pp_json_space(at + 1, json_end) : NULL;
}

json json_get(json object, const char *key)
{
	for (json at = json_first(object); at != NULL; at = json_next(at)) {
		if (pp_json_is(at, key)) {
			return json_value(at);
		}
	}
	return NULL;
}

size_t json_text(json text, char *out, size_t cap)
{
	const uint8_t *at = text + 1;
	size_t len = 0;

	for (int32_t c; (c = pp_json_char(&at)) != PP_JSON_END;) {
		uint8_t bytes[4];
		const unsigned size = pp_utf8_put(bytes, (uint32_t)c);

		if (len + size + 1 > cap) {
			fprintf(stderr, "a text of a vector is longer than %zu\n", cap);
			exit(2);
		}
		memcpy(out + len, bytes, size);
		len += size;
	}
	out[len] = 0;
	return len;
}

size_t json_hex(json text, uint8_t *out, size_t cap)
{
	size_t len = 0;

	for (const uint8_t *at = text + 1; at[0] != '"'; at += 2) {
		const char pair[3] = {(char)at[0], (char)at[1], 0};

		if (len >= cap) {
			fprintf(stderr, "bytes of a vector are more than %zu\n", cap);
			exit(2);
		}
		out[len++] = (uint8_t)strtoul(pair, NULL, 16);
	}
	return len;
}

size_t json_base64(json text, uint8_t *out, size_t cap)
{
	const uint8_t *end = text + 1;
	size_t count;

	while (*end != '"') {
		end++;
	}
	if (!pp_base64_read((const char *)text + 1, (size_t)(end - text - 1), out, cap, &count)) {
		fprintf(stderr, "base64 of a vector is not, or more than %zu bytes\n", cap);
		exit(2);
	}
	return count;
}

int64_t json_number(json value)
{
	return pp_json_int(value);
}

bool json_true(json value)
{
	return value != NULL && *value == 't';
}

bool json_is_null(json value)
{
	return *value == 'n';
}

static bool same_text(json one, json other)
{
	int32_t a, b;

	one++;
	other++;
	do {
		a = pp_json_char(&one);
		b = pp_json_char(&other);
	} while (a == b && a != PP_JSON_END);
	return a == b;
}

static json key_like(json object, const uint8_t *end, json key)
{
	const uint8_t *const held = json_end;
	json found = NULL;

	json_end = end;
	for (json at = json_first(object); at != NULL && found == NULL; at = json_next(at)) {
		if (same_text(at, key)) {
			found = json_value(at);
		}
	}
	json_end = held;
	return found;
}

static size_t members(json value, const uint8_t *end)
{
	const uint8_t *const held = json_end;
	size_t count = 0;

	json_end = end;
	for (json at = json_first(value); at != NULL; at = json_next(at)) {
		count++;
	}
	json_end = held;
	return count;
}

static json after(json item, const uint8_t *end)
{
	const uint8_t *const held = json_end;
	json found;

	json_end = end;
	found = json_next(item);
	json_end = held;
	return found;
}

static json first_of(json value, const uint8_t *end)
{
	const uint8_t *const held = json_end;
	json found;

	json_end = end;
	found = json_first(value);
	json_end = held;
	return found;
}

bool json_same(json one, const uint8_t *one_end, json other, const uint8_t *other_end)
{
	if (*one == '"' || *other == '"') {
		return *one == *other && same_text(one, other);
	}
	if (*one == '{' && *other == '{') {
		if (members(one, one_end) != members(other, other_end)) {
			return false;
		}
		for (json at = first_of(one, one_end); at != NULL; at = after(at, one_end)) {
			const uint8_t *const held = json_end;
			json mine, theirs;

			json_end = one_end;
			mine = json_value(at);
			json_end = held;
			theirs = key_like(other, other_end, at);
			if (theirs == NULL || !json_same(mine, one_end, theirs, other_end)) {
				return false;
			}
		}
		return true;
	}
	if (*one == '[' && *other == '[') {
		json b = first_of(other, other_end);

		if (members(one, one_end) != members(other, other_end)) {
			return false;
		}
		for (json a = first_of(one, one_end); a != NULL; a = after(a, one_end)) {
			if (!json_same(a, one_end, b, other_end)) {
				return false;
			}
			b = after(b, other_end);
		}
		return true;
	}
	{
		const size_t len = (size_t)(pp_json_skip(one, one_end) - one);

		return len == (size_t)(pp_json_skip(other, other_end) - other) &&
		       memcmp(one, other, len) == 0;
	}
}

static int sign_with(void *ctx, uint8_t sig[64], const void *msg, size_t len)
{
	return crypto_sign(ctx, sig, msg, len);
}

void crypto_port(struct proplet_port *port, const uint8_t *seed)
{
	memset(port, 0, sizeof *port);
	port->ctx = (void *)(uintptr_t)seed;
	port->hash_begin = crypto_hash_begin;
	port->hash_add = crypto_hash_add;
	port->hash_end = crypto_hash_end;
	port->verify = crypto_verify;
	port->sign = sign_with;
}
