/* What the device says it is, put together once a boot. */
#include "device.h"
#include "inside.h"

static void text(struct pp_out *out, const char *value)
{
	pp_put_text(out, value, strlen(value));
}

static void named_text(struct pp_out *out, unsigned field, const char *value)
{
	pp_put_key(out, field);
	text(out, value);
}

static void named_number(struct pp_out *out, unsigned field, uint64_t value)
{
	const uint64_t most = (uint64_t)PP_MAX_INTEGER;

	pp_put_int_in(out, field, (int64_t)(value > most ? most : value));
}

/* The signatures this device can check, its own kind first: asked of the port with rubbish. */
static void algs(const struct proplet *p, struct pp_out *out)
{
	static const char *const names[] = {"", "ed25519", "p256"};
	static const uint8_t sizes[] = {0, 32, 65};
	static const uint8_t rubbish[65] = {4};
	const uint8_t first = p->key.alg, second = (uint8_t)(3 - first);
	const bool both = p->port->verify(p->port->ctx, (enum proplet_alg)second, rubbish,
					  sizes[second], rubbish, rubbish, 1) != PROPLET_MISSING;

	pp_put_key(out, PP_HELLO_ALGS);
	pp_put_list(out, both ? 2 : 1);
	text(out, names[first]);
	if (both) {
		text(out, names[second]);
	}
}

/* The word for native code. Longer than a target may be, it is cut, and no build is for that. */
static void native(struct pp_out *out, const char *target)
{
	char word[sizeof PP_AOT + 64] = PP_AOT;
	size_t len = strlen(target);

	len = len < 64 ? len : 64;
	memcpy(word + sizeof PP_AOT - 1, target, len);
	pp_put_text(out, word, sizeof PP_AOT - 1 + len);
}

static void lists(const struct proplet *p, struct pp_out *out)
{
	const bool keeps_time = p->agent.memory.times_count > 0;
	size_t count = 0;

	/* What the engine offers guests, and what this agent keeps. */
	while (p->engine->imports[count] != NULL) {
		count++;
	}
	pp_put_key(out, PP_HELLO_IMPORTS);
	pp_put_list(out, count + 1 + keeps_time + (p->engine->aot != NULL));
	text(out, "propeller:autonomy");
	if (keeps_time) {
		text(out, "propeller:slots");
	}
	for (size_t i = 0; i < count; i++) {
		text(out, p->engine->imports[i]);
	}
	if (p->engine->aot != NULL) {
		native(out, p->engine->aot);
	}
	pp_put_key(out, PP_HELLO_COMPONENTS);
	pp_put_bool(out, false);
	pp_put_key(out, PP_HELLO_MOUNTS);
	pp_put_list(out, p->config.mount_count);
	for (size_t i = 0; i < p->config.mount_count; i++) {
		text(out, p->config.mounts[i]);
	}
	pp_put_key(out, PP_HELLO_ENCODINGS);
	pp_put_list(out, 2);
	text(out, "cbor");
	text(out, "json");
	algs(p, out);
	pp_put_key(out, PP_HELLO_FETCH);
	pp_put_list(out, 1);
	text(out, "mqtt");
	pp_put_key(out, PP_HELLO_LABELS);
	pp_put_map(out, p->config.label_count);
	for (size_t i = 0; i < p->config.label_count; i++) {
		text(out, p->config.labels[i].name);
		text(out, p->config.labels[i].value);
	}
}

size_t pp_hello_write(struct proplet *p, const uint8_t inst[16], struct pp_out *out)
{
	const struct proplet_config *const c = &p->config;

	pp_put_map(out, 24U + (c->box != NULL) + (c->point_count > 0));
	named_number(out, PP_HELLO_V, 1);
	named_text(out, PP_HELLO_ID, c->id);
	pp_put_bytes_in(out, PP_HELLO_INST, inst, 16);
	named_number(out, PP_HELLO_BOOT, p->boot);
	named_text(out, PP_HELLO_ARCH, c->arch);
	named_text(out, PP_HELLO_OS, c->os);
	named_text(out, PP_HELLO_RUNTIME, p->engine->name);
	named_text(out, PP_HELLO_RUNTIME_VERSION, p->engine->version);
	named_text(out, PP_HELLO_AGENT, c->agent);
	named_number(out, PP_HELLO_MEMORY, p->engine->memory);
	named_number(out, PP_HELLO_STORAGE, c->storage);
	named_number(out, PP_HELLO_TASKS, p->engine->slots);
	named_number(out, PP_HELLO_MAX_MODULE, c->max_module);
	named_number(out, PP_HELLO_MAX_PAYLOAD, c->max_payload);
	named_number(out, PP_HELLO_MIN_RUN_INTERVAL, c->min_run_interval);
	named_number(out, PP_HELLO_HEARTBEAT, c->heartbeat);
	lists(p, out);
	named_text(out, PP_HELLO_KEY, c->key);
	if (c->box != NULL) {
		named_text(out, PP_HELLO_BOX, c->box);
	}
	if (c->point_count > 0) {
		pp_put_key(out, PP_HELLO_POINTS);
		pp_put_list(out, c->point_count);
		for (size_t i = 0; i < c->point_count; i++) {
			text(out, c->points[i]);
		}
	}
	if (out->full) {
		return 0;
	}
	/* Held to the table like anything else that leaves: labels and names come from outside. */
	{
		struct pp_out checked;

		pp_out_init(&checked, p->agent.memory.scratch, p->agent.memory.scratch_size);
		return pp_read(&pp_shape_hello, out->at, out->len, &checked) == PP_TAKEN ? out->len : 0;
	}
}
