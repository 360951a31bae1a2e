/*
 * Records: the boot counter, the document, runs, uploads. Each is one atomic write, in an order that
 * is safe wherever power fails: a run's start is stored before it starts, a document before its
 * entries count.
 */
#include "device.h"

static const uint8_t boot_magic[4] = {'P', 'B', '1', 0}, document_magic[4] = {'P', 'D', '2', 0},
		     silence_magic[4] = {'P', 'S', '1', 0};

static void put_number(uint8_t *at, uint64_t value)
{
	for (unsigned i = 0; i < 8; i++) {
		at[i] = (uint8_t)(value >> (8 * (7 - i)));
	}
}

static uint64_t get_number(const uint8_t *at)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < 8; i++) {
		value = value << 8 | at[i];
	}
	return value;
}

/* The installation, made at random where there is none, and the boot, counted and stored. */
int pp_stored_boot(struct proplet *p, uint8_t inst[16])
{
	uint8_t record[28];
	size_t len = 0;
	int why = p->port->get(p->port->ctx, PROPLET_REC_BOOT, record, sizeof record, &len);

	if (why == PROPLET_OK && len == sizeof record && memcmp(record, boot_magic, 4) == 0) {
		p->boot = (uint32_t)get_number(record + 20);
	} else if (why == PROPLET_BROKEN) {
		return why;
	} else {
		memcpy(record, boot_magic, 4);
		why = p->port->random(p->port->ctx, record + 4, 16);
		if (why != PROPLET_OK) {
			return why;
		}
	}
	p->boot++;
	put_number(record + 20, p->boot);
	memcpy(inst, record + 4, 16);
	return p->port->put(p->port->ctx, PROPLET_REC_BOOT, record, sizeof record);
}

/* -- the document: its list, and behind it what was observed ------------------------------------ */

#define TRAILER 77 /* magic, fence, gen, iat, digest, kid of the signer */

int pp_stored_save_desired(struct proplet *p, const struct pp_effect *e)
{
	const struct proplet_memory *const memory = &p->agent.memory;
	uint8_t *const trailer = memory->incoming + e->list.len;

	if (e->list.at != memory->incoming || e->list.len + TRAILER > memory->document) {
		return PROPLET_FULL;
	}
	memcpy(trailer, document_magic, 4);
	put_number(trailer + 4, (uint64_t)e->observed->fence);
	put_number(trailer + 12, (uint64_t)e->observed->gen);
	put_number(trailer + 20, (uint64_t)e->iat);
	memcpy(trailer + 28, e->observed->digest, 32);
	memcpy(trailer + 60, e->signer, 17);
	return p->port->put(p->port->ctx, PROPLET_REC_DESIRED, memory->incoming,
			    e->list.len + TRAILER);
}

void pp_stored_load_desired(struct proplet *p, struct pp_stored *stored)
{
	const struct proplet_memory *const memory = &p->agent.memory;
	const uint8_t *trailer;
	struct pp_out again;
	size_t len = 0;

	if (p->port->get(p->port->ctx, PROPLET_REC_DESIRED, memory->desired, memory->document,
			 &len) != PROPLET_OK ||
	    len < TRAILER || memcmp(memory->desired + len - TRAILER, document_magic, 4) != 0) {
		return;
	}
	trailer = memory->desired + len - TRAILER;
	stored->observed.fence = (int64_t)get_number(trailer + 4);
	stored->observed.gen = (int64_t)get_number(trailer + 12);
	stored->iat = (int64_t)get_number(trailer + 20);
	memcpy(stored->observed.digest, trailer + 28, 32);
	memcpy(stored->signer, trailer + 60, 16);
	/* Flash may rot: a list that is not one any more is asked for again, at the same fence. */
	pp_out_init(&again, memory->incoming, memory->document);
	if (pp_read_list(&pp_kind_tasks, memory->desired, len - TRAILER, &again) == PP_TAKEN &&
	    again.len == len - TRAILER) {
		stored->observed.has_digest = true;
		stored->entries_len = again.len;
	}
}

/* -- release lists ---------------------------------------------------------------------------- */

int pp_stored_save_releases(struct proplet *p, const struct pp_effect *e)
{
	int why = PROPLET_OK;

	if (e->again) {
		why = p->port->put(p->port->ctx, PROPLET_REC_RELEASES, e->data, e->len);
	}
	return why != PROPLET_OK ? why
				 : p->port->put(p->port->ctx, PROPLET_REC_HELD, e->digest,
						32 * (size_t)e->size);
}

void pp_stored_load_releases(struct proplet *p, struct pp_stored *stored)
{
	const struct proplet_memory *const memory = &p->agent.memory;
	const size_t most = 32 * memory->run_count;
	size_t len = 0;

	if (memory->releases == NULL || memory->releases_size <= most ||
	    p->port->get(p->port->ctx, PROPLET_REC_RELEASES, memory->releases + most,
			 memory->releases_size - most, &len) != PROPLET_OK) {
		return;
	}
	stored->releases_len = len;
	if (p->port->get(p->port->ctx, PROPLET_REC_HELD, memory->releases, most, &len) ==
	    PROPLET_OK) {
		stored->held = len / 32;
	}
}

/* -- time without the manager ------------------------------------------------------------------ */

int pp_stored_save_silence(struct proplet *p, int64_t word, int64_t silence)
{
	uint8_t record[20], held[20];
	size_t len = 0;

	memcpy(record, silence_magic, 4);
	put_number(record + 4, (uint64_t)word);
	put_number(record + 12, (uint64_t)silence);
	if (p->port->get(p->port->ctx, PROPLET_REC_SILENCE, held, sizeof held, &len) == PROPLET_OK &&
	    len == sizeof record && memcmp(held, record, len) == 0) {
		return PROPLET_OK; /* flash wears */
	}
	return p->port->put(p->port->ctx, PROPLET_REC_SILENCE, record, sizeof record);
}

void pp_stored_load_silence(struct proplet *p, struct pp_stored *stored)
{
	uint8_t record[20];
	size_t len = 0;

	if (p->port->get(p->port->ctx, PROPLET_REC_SILENCE, record, sizeof record, &len) ==
		    PROPLET_OK &&
	    len == sizeof record && memcmp(record, silence_magic, 4) == 0) {
		stored->has_silence = true;
		stored->word = (int64_t)get_number(record + 4);
		stored->silence = (int64_t)get_number(record + 12);
	}
}

/* -- runs ------------------------------------------------------------------------------------- */

int pp_stored_save_run(struct proplet *p, const struct pp_effect *e)
{
	const struct proplet_memory *const memory = &p->agent.memory;
	const size_t half = (memory->scratch_size - 1024) / 2;
	const uint16_t id = (uint16_t)(PROPLET_REC_RUN + e->slot);
	uint8_t *const held = memory->scratch + half;
	struct pp_out out;
	size_t len = 0;

	pp_out_init(&out, memory->scratch, memory->scratch_size - 1024);
	pp_record_write(&out, e->record);
	if (out.full) {
		return PROPLET_FULL;
	}
	/* Flash wears: what is stored already is not stored again. */
	if (out.len <= half && p->port->get(p->port->ctx, id, held, half, &len) == PROPLET_OK &&
	    len == out.len && memcmp(held, out.at, len) == 0) {
		return PROPLET_OK;
	}
	return p->port->put(p->port->ctx, id, out.at, out.len);
}

int pp_shell_load_times(void *ctx, uint16_t slot, uint8_t *buf, size_t cap, size_t *len)
{
	const struct proplet *const p = ctx;

	return p->port->get(p->port->ctx, (uint16_t)(PROPLET_REC_TIMES + slot), buf, cap, len);
}

int pp_shell_load_run(void *ctx, uint16_t slot, uint8_t *buf, size_t cap, size_t *len)
{
	const struct proplet *const p = ctx;

	return p->port->get(p->port->ctx, (uint16_t)(PROPLET_REC_RUN + slot), buf, cap, len);
}

/* -- uploads ------------------------------------------------------------------------------------ */

#define UPLOAD 40 /* digest and size */

int pp_stored_save_uploads(struct proplet *p, const uint8_t *more, uint64_t size,
			   const uint8_t *less)
{
	const struct pp_agent *const a = &p->agent;
	uint8_t record[UPLOAD * PP_UPLOADS];
	size_t len = 0;

	for (unsigned i = 0; i < a->upload_count; i++) {
		const struct pp_upload *const upload = &a->uploads[i];

		if (!upload->lasting || (less != NULL && memcmp(upload->digest, less, 32) == 0) ||
		    (more != NULL && memcmp(upload->digest, more, 32) == 0)) {
			continue;
		}
		memcpy(record + len, upload->digest, 32);
		put_number(record + len + 32, upload->size);
		len += UPLOAD;
	}
	if (more != NULL) {
		if (len == sizeof record) {
			return PROPLET_FULL;
		}
		memcpy(record + len, more, 32);
		put_number(record + len + 32, size);
		len += UPLOAD;
	}
	return len == 0 ? p->port->del(p->port->ctx, PROPLET_REC_UPLOADS)
			: p->port->put(p->port->ctx, PROPLET_REC_UPLOADS, record, len);
}

void pp_stored_load_uploads(struct proplet *p, struct pp_stored *stored)
{
	uint8_t record[UPLOAD * PP_UPLOADS];
	size_t len = 0;

	if (p->port->get(p->port->ctx, PROPLET_REC_UPLOADS, record, sizeof record, &len) !=
	    PROPLET_OK) {
		return;
	}
	for (size_t at = 0; at + UPLOAD <= len; at += UPLOAD) {
		memcpy(stored->uploads[stored->upload_count].digest, record + at, 32);
		stored->uploads[stored->upload_count].size = get_number(record + at + 32);
		stored->upload_count++;
	}
}
