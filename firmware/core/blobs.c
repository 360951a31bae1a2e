/*
 * Blobs of the device: fetched from where storage ends, verified whole from storage before anybody
 * uses them, evicted when room is needed and nothing needs them, sent up piece by piece.
 */
#include "device.h"
#include "inside.h"

#define PART 256 /* bytes hashed or copied at a time */

static bool stored(struct proplet *p, const uint8_t *digest, uint32_t *have)
{
	bool sealed = false;

	*have = 0;
	return p->port->blob_have(p->port->ctx, digest, have, &sealed) == PROPLET_OK && sealed;
}

/* Hash what storage gives back, not what was meant to be written. */
static PP_APART bool verify(struct proplet *p, const uint8_t *digest, uint64_t size)
{
	struct proplet_hash state;
	uint8_t found[32], part[PART / 2];
	bool good = p->port->hash_begin(p->port->ctx, &state) == PROPLET_OK;

	for (uint64_t off = 0; good && off < size; off += sizeof part) {
		const size_t len = size - off < sizeof part ? (size_t)(size - off) : sizeof part;

		good = p->port->blob_read(p->port->ctx, digest, (uint32_t)off, part, len) ==
			       PROPLET_OK &&
		       p->port->hash_add(p->port->ctx, &state, part, len) == PROPLET_OK;
	}
	return good && p->port->hash_end(p->port->ctx, &state, found) == PROPLET_OK &&
	       memcmp(found, digest, 32) == 0;
}

/* All bytes are stored: they are what they should be, or they go. */
static bool settle(struct proplet *p, const uint8_t *digest, uint64_t size)
{
	uint32_t have;

	if (stored(p, digest, &have)) {
		return true;
	}
	if (have >= size && verify(p, digest, size) &&
	    p->port->blob_seal(p->port->ctx, digest, (uint32_t)size) == PROPLET_OK) {
		return true;
	}
	(void)p->port->blob_drop(p->port->ctx, digest);
	return false;
}

static void tell_fetched(struct proplet *p, const uint8_t *digest, uint64_t size)
{
	const struct proplet_memory *const memory = &p->agent.memory;
	uint8_t named[32];

	memcpy(named, digest, 32);
	if (!pp_documents_await(&p->agent, named)) {
		pp_agent_fetched(&p->agent, named, NULL, 0, proplet_now(p));
		return;
	}
	if (memory->body == NULL || size > memory->body_size ||
	    p->port->blob_read(p->port->ctx, named, 0, memory->body, (size_t)size) != PROPLET_OK) {
		pp_agent_fetch_failed(&p->agent, named, "the list could not be read from storage",
				      proplet_now(p));
		return;
	}
	pp_agent_fetched(&p->agent, named, memory->body, (size_t)size, proplet_now(p));
}

static bool transferring(const struct pp_agent *a, const uint8_t *digest)
{
	for (unsigned i = 0; i < a->transfer_count; i++) {
		if (memcmp(a->transfers[i].digest, digest, 32) == 0) {
			return true;
		}
	}
	return false;
}

/* The size of a blob that some run needs. */
static bool size_of(const struct pp_agent *a, const uint8_t *digest, uint64_t *size)
{
	for (size_t i = 0; i < a->run_count; i++) {
		const struct pp_plan *const plan = &a->memory.runs[i].plan;

		if (memcmp(plan->module, digest, 32) == 0) {
			*size = plan->module_size;
			return true;
		}
		for (unsigned j = 0; j < plan->inputs; j++) {
			if (memcmp(plan->input[j], digest, 32) == 0) {
				*size = plan->input_size[j];
				return true;
			}
		}
	}
	return false;
}

/* One blob that is asked for: here already, or to be asked for over the wire. */
static bool obtain(struct proplet *p, const uint8_t *wanted, uint64_t size)
{
	uint8_t digest[32];
	uint32_t have;

	memcpy(digest, wanted, 32);
	if (transferring(&p->agent, digest)) {
		return false;
	}
	if (size > p->config.storage || size > UINT32_MAX) {
		pp_agent_fetch_failed(&p->agent, digest, "it is larger than the storage here",
				      proplet_now(p));
		return true;
	}
	if (stored(p, digest, &have)) {
		tell_fetched(p, digest, size);
		return true;
	}
	if (p->agent.transfer_count == PP_TRANSFERS) {
		return false;
	}
	if (have > size) {
		(void)p->port->blob_drop(p->port->ctx, digest);
		have = 0;
	}
	pp_agent_fetch_from(&p->agent, digest, size, have, proplet_now(p));
	return true;
}

static bool obtain_next(struct proplet *p)
{
	const struct pp_agent *const a = &p->agent;
	uint64_t size;

	if (a->incoming.here && !a->incoming.given_up &&
	    obtain(p, a->incoming.body, a->incoming.size)) {
		return true;
	}
	for (size_t i = 0; i < a->blob_count; i++) {
		const struct pp_blob *const blob = &a->memory.blobs[i];

		if (!blob->present && blob->due < 0 && size_of(a, blob->digest, &size) &&
		    obtain(p, blob->digest, size)) {
			return true;
		}
	}
	return false;
}

static bool check_next(struct proplet *p)
{
	for (unsigned i = 0; i < p->agent.transfer_count; i++) {
		const struct pp_transfer *const t = &p->agent.transfers[i];
		const uint64_t size = t->size;
		uint8_t digest[32];

		if (!t->checking) {
			continue;
		}
		memcpy(digest, t->digest, 32);
		if (settle(p, digest, size)) {
			tell_fetched(p, digest, size);
		} else {
			pp_agent_fetch_failed(&p->agent, digest, "the bytes were something else",
					      proplet_now(p));
		}
		return true;
	}
	return false;
}

bool pp_blobs_pump(struct proplet *p)
{
	if (p->has_lost_upload) {
		p->has_lost_upload = false;
		pp_agent_upload_lost(&p->agent, p->lost_upload, proplet_now(p));
		return true;
	}
	if (p->has_lost_blob) {
		p->has_lost_blob = false;
		pp_agent_fetch_failed(&p->agent, p->lost_blob, p->lost_why, proplet_now(p));
		return true;
	}
	return check_next(p) || obtain_next(p);
}

/* -- effects ------------------------------------------------------------------------------------ */

static bool evict_one(struct proplet *p)
{
	uint8_t digest[32];

	for (uint32_t i = 0; p->port->blob_at(p->port->ctx, i, digest) == PROPLET_OK; i++) {
		if (!pp_agent_uses(&p->agent, digest)) {
			return p->port->blob_drop(p->port->ctx, digest) == PROPLET_OK;
		}
	}
	return false;
}

void pp_blobs_make_room(struct proplet *p, uint64_t size)
{
	while (p->port->blob_room(p->port->ctx) < size && evict_one(p)) {
	}
}

static int write_or_evict(struct proplet *p, const uint8_t *digest, uint32_t off, uint32_t total,
			  const void *data, size_t len)
{
	int why = p->port->blob_write(p->port->ctx, digest, off, total, data, len);

	while (why == PROPLET_FULL && evict_one(p)) {
		why = p->port->blob_write(p->port->ctx, digest, off, total, data, len);
	}
	return why;
}

int pp_blobs_write(struct proplet *p, const uint8_t *digest, uint64_t off, uint64_t total,
		   const void *data, size_t len)
{
	const char *words = "storage is full";
	int why;

	if (len == 0 && total > 0) {
		return PROPLET_OK; /* all is stored already: only to be checked */
	}
	why = write_or_evict(p, digest, (uint32_t)off, (uint32_t)total, data, len);
	if (why == PROPLET_OK) {
		return why;
	}
	if (why != PROPLET_FULL) {
		words = "storage failed";
	}
	memcpy(p->lost_blob, digest, 32);
	memcpy(p->lost_why, words, strlen(words) + 1);
	p->has_lost_blob = true;
	return why;
}

struct writing {
	struct proplet *p;
	const uint8_t *digest;
	uint32_t off, total;
	size_t held;
	int why;
	uint8_t part[PART];
};

static void flush(struct writing *w)
{
	if (w->held > 0 && w->why == PROPLET_OK) {
		w->why = write_or_evict(w->p, w->digest, w->off, w->total, w->part, w->held);
	}
	w->off += (uint32_t)w->held;
	w->held = 0;
}

static void take(void *ctx, const void *data, size_t len)
{
	struct writing *const w = ctx;
	const uint8_t *at = data;

	while (len > 0) {
		const size_t room = sizeof w->part - w->held;
		const size_t some = len < room ? len : room;

		memcpy(w->part + w->held, at, some);
		w->held += some;
		at += some;
		len -= some;
		if (w->held == sizeof w->part) {
			flush(w);
		}
	}
}

PP_APART int pp_blobs_keep_inventory(struct proplet *p, const uint8_t *digest, uint64_t size)
{
	struct writing w = {.p = p, .digest = digest, .total = (uint32_t)size};
	uint32_t have;

	if (stored(p, digest, &have)) {
		return PROPLET_OK;
	}
	(void)p->port->blob_drop(p->port->ctx, digest);
	pp_agent_inventory(&p->agent, (struct pp_sink){take, &w});
	flush(&w);
	if (w.why == PROPLET_OK) {
		w.why = p->port->blob_seal(p->port->ctx, digest, w.total);
	}
	return w.why;
}

/* A piece goes up: signed with its data, straight from storage. */
int pp_blobs_send(struct proplet *p, const struct pp_effect *e)
{
	const struct proplet_memory *const memory = &p->agent.memory;
	char topic[PROPLET_TOPIC];
	const size_t head = pp_frame_head(&p->key);
	const struct pp_put put = {
		.digest = e->digest,
		.inst = p->agent.inst,
		.id = {p->config.id, strlen(p->config.id)},
		.off = e->off,
		.total = e->total,
	};
	struct pp_out out;
	int why;

	pp_out_init(&out, memory->scratch + PP_HEADROOM, memory->scratch_size - PP_HEADROOM);
	(void)pp_put_write(&out, &put);
	if (out.full || e->len > out.cap - out.len ||
	    !pp_topic_write(&p->channel, PP_TOPIC_BLOB_PUT, p->config.id, "", 1, topic,
			    sizeof topic)) {
		return PROPLET_FULL;
	}
	if (e->len > 0) {
		why = p->port->blob_read(p->port->ctx, e->digest, (uint32_t)e->off,
					 out.at + out.len, e->len);
		if (why != PROPLET_OK) {
			memcpy(p->lost_upload, e->digest, 32);
			p->has_lost_upload = true;
			return why;
		}
	}
	out.len += e->len;
	why = pp_frame_seal(p->port, PP_FOR_PUT, &p->key, out.at - head, out.len);
	return why != PROPLET_OK
		       ? why
		       : p->port->publish(p->port->ctx, topic, out.at - head, head + out.len, 1, false);
}

void pp_blobs_free(struct proplet *p, const uint8_t *digest)
{
	if (!pp_agent_uses(&p->agent, digest)) {
		(void)p->port->blob_drop(p->port->ctx, digest);
	}
}
