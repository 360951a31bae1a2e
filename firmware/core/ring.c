/*
 * The last decisions, in storage across boots: what a device did and why it started, for whoever
 * finds it odd. Read by the operation "decisions".
 */
#include "device.h"
#include "inside.h"

#define ONE 28 /* bytes of a decision in its record */

static void put(uint8_t *at, uint64_t value, unsigned len)
{
	for (unsigned i = 0; i < len; i++) {
		at[i] = (uint8_t)(value >> (8 * (len - 1 - i)));
	}
}

static uint64_t take(const uint8_t *at, unsigned len)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < len; i++) {
		value = value << 8 | at[i];
	}
	return value;
}

void pp_ring_load(struct proplet *p)
{
	uint8_t record[4 + ONE * PROPLET_RING];
	size_t len = 0;

	if (p->port->get(p->port->ctx, PROPLET_REC_RING, record, sizeof record, &len) != PROPLET_OK ||
	    len != sizeof record) {
		return;
	}
	p->ring_next = (uint32_t)take(record, 4);
	for (unsigned i = 0; i < PROPLET_RING; i++) {
		const uint8_t *const at = record + 4 + ONE * i;
		struct proplet_decision *const one = &p->ring[i];

		one->wall = (int64_t)take(at, 8);
		one->gen = (int64_t)take(at + 8, 8);
		one->boot = (uint32_t)take(at + 16, 4);
		memcpy(one->uid, at + 20, 4);
		one->what = at[24];
		one->detail = at[25];
	}
}

PP_APART void pp_ring_save(struct proplet *p)
{
	uint8_t record[4 + ONE * PROPLET_RING] = {0};

	if (!p->ring_changed) {
		return;
	}
	p->ring_changed = false;
	put(record, p->ring_next, 4);
	for (unsigned i = 0; i < PROPLET_RING; i++) {
		uint8_t *const at = record + 4 + ONE * i;
		const struct proplet_decision *const one = &p->ring[i];

		put(at, (uint64_t)one->wall, 8);
		put(at + 8, (uint64_t)one->gen, 8);
		put(at + 16, one->boot, 4);
		memcpy(at + 20, one->uid, 4);
		at[24] = one->what;
		at[25] = one->detail;
	}
	(void)p->port->put(p->port->ctx, PROPLET_REC_RING, record, sizeof record);
}

void pp_ring_add(struct proplet *p, enum proplet_did what, uint8_t detail, const uint8_t *uid)
{
	struct proplet_decision *const one = &p->ring[p->ring_next % PROPLET_RING];
	uint64_t wall = 0;

	p->ring_next++;
	memset(one, 0, sizeof *one);
	(void)p->port->wall(p->port->ctx, &wall);
	one->wall = (int64_t)wall;
	one->gen = p->agent.observed.gen;
	one->boot = p->boot;
	one->what = (uint8_t)what;
	one->detail = detail;
	if (uid != NULL) {
		memcpy(one->uid, uid, 4);
	}
	p->ring_changed = true;
}

static PP_APART void line(struct pp_words *words, const struct proplet_decision *one)
{
	static const char *const did[] = {"?",    "boot", "accept", "start",
					  "stop", "end",  "trust",  "drain", "alone"};
	static const char digits[] = "0123456789abcdef";
	char uid[9] = {0};

	for (unsigned i = 0; i < 4; i++) {
		uid[2 * i] = digits[one->uid[i] >> 4];
		uid[2 * i + 1] = digits[one->uid[i] & 15];
	}
	pp_words_init(words);
	pp_words_number(words, (uint64_t)one->wall);
	pp_words_add(words, " b");
	pp_words_number(words, one->boot);
	pp_words_add(words, " g");
	pp_words_number(words, (uint64_t)one->gen);
	pp_words_add(words, " ");
	pp_words_add(words, did[one->what < sizeof did / sizeof did[0] ? one->what : 0]);
	pp_words_add(words, " ");
	pp_words_number(words, one->detail);
	pp_words_add(words, " ");
	pp_words_add(words, uid);
	pp_words_add(words, "\n");
}

size_t pp_ring_tell(void *ctx, const char *verb, size_t verb_len, char *text, size_t cap)
{
	const struct proplet *const p = ctx;
	const uint32_t held = p->ring_next < PROPLET_RING ? p->ring_next : PROPLET_RING;
	struct pp_words words;
	size_t len = 0;

	if (verb_len != 9 || memcmp(verb, "decisions", 9) != 0) {
		return 0;
	}
	/* The newest first: where not all fit, the oldest are missing. */
	for (uint32_t i = 1; i <= held; i++) {
		line(&words, &p->ring[(p->ring_next - i) % PROPLET_RING]);
		if (words.len > cap - len) {
			break;
		}
		memcpy(text + len, words.at, words.len);
		len += words.len;
	}
	return len;
}
