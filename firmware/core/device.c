/*
 * The agent joined to a port and an engine: calls in, time, and the pump that carries out what a turn
 * left to be answered. The pump looks at the agent's own state instead of keeping a queue: what is
 * asked for and not there is fetched, what is there and not judged is checked, and so on, until
 * nothing moves.
 */
#include "device.h"
#include "inside.h"

#define ROUNDS 64 /* a guard: a turn that never comes to rest goes on with the next tick */

struct pp_now proplet_now(struct proplet *p)
{
	struct pp_now now = {.mono = (int64_t)p->port->mono(p->port->ctx)};
	uint64_t wall = 0;

	/* A clock that steps back stands still instead: no duration is ever negative. */
	if (now.mono < p->last_mono) {
		now.mono = p->last_mono;
	}
	p->last_mono = now.mono;
	now.synced = p->port->wall(p->port->ctx, &wall);
	now.wall = (int64_t)wall;
	return now;
}

static void pump(struct proplet *p)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		bool moved = pp_guests_pump(p);

		moved = pp_blobs_pump(p) || moved;
		if (p->untold) {
			p->untold = false;
			pp_agent_untold(&p->agent, proplet_now(p));
		}
		if (!moved) {
			break;
		}
	}
	pp_ring_save(p);
}

/* -- making one ----------------------------------------------------------------------------- */

static int check(const struct proplet_config *config, const struct proplet_engine *engine,
		 const struct proplet_memory *memory)
{
	if (!pp_is_id(config->id, strlen(config->id)) || engine->slots == 0 ||
	    engine->slots > PROPLET_GUESTS || memory->scratch_size < 2048 ||
	    memory->document < 512 || memory->run_count == 0 || memory->stone_count == 0 ||
	    memory->blob_count == 0 || memory->notes_size < 512 || memory->notes_size > 65535 ||
	    memory->run_count + memory->stone_count > 4096) {
		return PROPLET_REFUSED;
	}
	return PROPLET_OK;
}

static uint32_t chunk_of(const struct proplet_config *config, const struct proplet_memory *memory)
{
	/* A piece must fit one payload on its way down, and the scratch on its way up. */
	const size_t up = memory->scratch_size - PP_HEADROOM - PP_CHUNK_HEADER - 16 - 64;
	uint32_t chunk = config->chunk;

	if (config->max_payload > PP_CHUNK_HEADER && chunk > config->max_payload - PP_CHUNK_HEADER) {
		chunk = config->max_payload - PP_CHUNK_HEADER;
	}
	chunk = chunk > up ? (uint32_t)up : chunk;
	return chunk == 0 ? 64 : chunk;
}

/* Every guest may have to be stopped before its place is free: there is always room for a list. */
static uint16_t entries_of(size_t runs, uint8_t slots)
{
	const size_t most = runs > slots ? runs - slots : 1;

	return (uint16_t)(most > 1024 ? 1024 : most);
}

static PP_APART int make_agent(struct proplet *p, const struct proplet_memory *memory, size_t hello_len)
{
	const struct pp_shell shell = {p, pp_shell_effect, pp_shell_chance, pp_shell_load_run,
				       pp_shell_load_times, pp_ring_tell};
	const struct pp_agent_config config = {
		.hello = p->hello,
		.hello_len = hello_len,
		.root = p->config.root,
		.chunk = chunk_of(&p->config, memory),
		.grace = p->config.grace,
		.debounce = p->config.debounce,
		.max_desired = memory->body == NULL ? 0 : memory->body_size,
		.max_entries = entries_of(memory->run_count, p->engine->slots),
		.window = p->config.window,
		.cbor = true,
	};

	return pp_agent_init(&p->agent, &config, memory, &shell, p->port) == PP_TAKEN
		       ? PROPLET_OK
		       : PROPLET_REFUSED;
}

static PP_APART int start_agent(struct proplet *p, const struct proplet_memory *memory)
{
	struct pp_stored stored;
	size_t len = 0;

	memset(&stored, 0, sizeof stored);
	pp_stored_load_desired(p, &stored);
	pp_stored_load_uploads(p, &stored);
	pp_stored_load_releases(p, &stored);
	pp_stored_load_silence(p, &stored);
	p->agent.observed = stored.observed;
	pp_ring_add(p, PROPLET_DID_BOOT, (uint8_t)p->port->reset_cause(p->port->ctx), NULL);
	if (p->port->get(p->port->ctx, PROPLET_REC_TRUST, memory->incoming, memory->document,
			 &len) == PROPLET_OK) {
		/* Read into the buffer it is decoded to: a copy in the scratch, if it fits there. */
		if (len <= memory->scratch_size - PP_HEADROOM) {
			memcpy(memory->scratch, memory->incoming, len);
			stored.trust = memory->scratch;
			stored.trust_len = len;
		}
	}
	pp_agent_boot(&p->agent, &stored, proplet_now(p));
	return PROPLET_OK;
}

int proplet_init(struct proplet *p, const struct proplet_config *config,
		 const struct proplet_port *port, const struct proplet_engine *engine,
		 const struct proplet_memory *memory)
{
	uint8_t inst[16];
	struct pp_out hello;
	int why = check(config, engine, memory);

	if (why != PROPLET_OK) {
		return why;
	}
	memset(p, 0, sizeof *p);
	p->config = *config;
	p->port = port;
	p->engine = engine;
	p->channel.domain = p->config.domain;
	p->channel.channel = p->config.channel;
	if (pp_key_read(port, (struct proplet_text){config->key, strlen(config->key)}, &p->key) !=
	    PP_TAKEN) {
		return PROPLET_REFUSED;
	}
	if (p->config.box != NULL &&
	    (port->agree == NULL ||
	     pp_box_read(pp_words_of(p->config.box), &p->box) != PP_TAKEN)) {
		return PROPLET_REFUSED;
	}
	p->agent.memory = *memory; /* the records are read into it */
	why = pp_stored_boot(p, inst);
	if (why != PROPLET_OK) {
		return why;
	}
	pp_out_init(&hello, p->hello, sizeof p->hello);
	if (pp_hello_write(p, inst, &hello) == 0) {
		return PROPLET_REFUSED;
	}
	why = make_agent(p, memory, hello.len);
	if (why != PROPLET_OK) {
		return why;
	}
	pp_ring_load(p);
	why = start_agent(p, memory);
	pump(p);
	return why;
}

/* -- the calls of a port ---------------------------------------------------------------------- */

int proplet_will(struct proplet *p, char *topic, uint8_t *payload, size_t cap, size_t *len)
{
	struct pp_out out;

	if (!pp_topic_write(&p->channel, PP_TOPIC_STATUS, p->config.id, "", 1, topic, PROPLET_TOPIC)) {
		return PROPLET_REFUSED;
	}
	pp_out_init(&out, payload, cap);
	pp_agent_status(&p->agent, false, p->conn + 1, &out);
	*len = out.len;
	return out.full ? PROPLET_FULL : PROPLET_OK;
}

void proplet_connected(struct proplet *p)
{
	p->conn++;
	pp_agent_connected(&p->agent, p->conn, proplet_now(p));
	pump(p);
}

void proplet_disconnected(struct proplet *p)
{
	pp_agent_disconnected(&p->agent, proplet_now(p));
	pump(p);
}

void proplet_heard(struct proplet *p, const char *topic, const uint8_t *payload, size_t len)
{
	const struct pp_heard heard = pp_topic_parse(&p->channel, topic);
	const size_t id = strlen(p->config.id);

	if (heard.topic == PP_TOPIC_FOREIGN ||
	    (heard.proplet.len > 0 &&
	     (heard.proplet.len != id || memcmp(heard.proplet.at, p->config.id, id) != 0))) {
		pp_agent_count(&p->agent, "unknown_topic");
		return;
	}
	pp_agent_hear(&p->agent, heard.topic, payload, len, proplet_now(p));
	pump(p);
}

void proplet_oversize(struct proplet *p, const char *topic, size_t len)
{
	(void)topic;
	(void)len;
	pp_agent_count(&p->agent, "too_big_to_hear");
}

uint64_t proplet_tick(struct proplet *p)
{
	int64_t wake;

	pp_agent_tick(&p->agent, proplet_now(p));
	pump(p);
	wake = pp_guests_due(p);
	return (uint64_t)(p->wake < wake ? p->wake : wake);
}

void proplet_drain(struct proplet *p)
{
	pp_ring_add(p, PROPLET_DID_DRAIN, 0, NULL);
	pp_agent_drain(&p->agent, proplet_now(p));
	pump(p);
}

bool proplet_drained(const struct proplet *p)
{
	return p->drained;
}
