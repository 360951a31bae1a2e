/* See update.h. */
#include "update.h"

#include <string.h>

#include "values.h"

static const char label[] = "propeller-fl-update-v1"; /* its terminator is signed too */

/* -- metrics ------------------------------------------------------------------------------- */

static bool is_name(const uint8_t *name, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		const uint8_t c = name[i];
		const uint8_t low = (uint8_t)(c | 0x20);

		if (!(low >= 'a' && low <= 'z') && !(c >= '0' && c <= '9') && c != '_' &&
		    c != '.' && c != '-') {
			return false;
		}
	}
	return len > 0 && len <= PF_METRIC_NAME;
}

const char *pf_metric_tell(struct pf_metrics *metrics, const uint8_t *name, size_t len,
			   double value)
{
	struct pf_metric *metric = metrics->list;
	char known[PF_METRIC_NAME + 1] = {0};
	uint64_t bits;
	unsigned at = 0;

	if (!is_name(name, len)) {
		return "rejected: a metric's name is 1 to 64 letters, digits, '_', '.' or '-'";
	}
	memcpy(&bits, &value, sizeof(bits));
	if ((bits >> 52 & 0x7FF) == 0x7FF) {
		return "rejected: a metric that is no finite number";
	}
	memcpy(known, name, len);
	while (at < metrics->count && strcmp(metric[at].name, known) < 0) {
		at++;
	}
	if (at == metrics->count || strcmp(metric[at].name, known) != 0) {
		if (metrics->count == PF_METRICS) {
			return "rejected: more than 16 metrics";
		}
		memmove(&metric[at + 1], &metric[at], (metrics->count - at) * sizeof(*metric));
		metrics->count++;
		memcpy(metric[at].name, known, sizeof(known));
	}
	(void)proplet_value_write('F', bits, metric[at].text, sizeof(metric[at].text));
	return NULL;
}

size_t pf_measured(const struct pf_metrics *metrics, uint64_t samples, char *to, size_t cap)
{
	size_t at = proplet_put_text(to, cap, 0, "{\"metrics\":{");

	for (unsigned i = 0; i < metrics->count; i++) {
		at = proplet_put_text(to, cap, at, i == 0 ? "\"" : ",\"");
		at = proplet_put_text(to, cap, at, metrics->list[i].name);
		at = proplet_put_text(to, cap, at, "\":\"");
		at = proplet_put_text(to, cap, at, metrics->list[i].text);
		at = proplet_put_text(to, cap, at, "\"");
	}
	at = proplet_put_text(to, cap, at, "},\"samples\":");
	at = proplet_put_number(to, cap, at, samples);
	at = proplet_put_text(to, cap, at, "}");
	return at + 1 < cap ? at : 0; /* full to the brim may be cut */
}

/* -- the envelope -------------------------------------------------------------------------- */

static uint8_t *put(uint8_t *at, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++) {
		*at++ = (uint8_t)(value >> (8 * i));
	}
	return at;
}

static uint8_t *put_raw(uint8_t *at, const uint8_t *data, size_t len)
{
	memcpy(at, data, len);
	return at + len;
}

static void put_metric(struct pp_out *out, const struct pf_metric *metric)
{
	pp_put_text(out, metric->name, strlen(metric->name));
	pp_put_text(out, metric->text, strlen(metric->text));
}

static void put_module(struct pp_out *out, const uint8_t digest[32])
{
	static const char digits[] = "0123456789abcdef";
	char text[7 + 64] = "sha256:";

	for (unsigned i = 0; i < 32; i++) {
		text[7 + 2 * i] = digits[digest[i] >> 4];
		text[8 + 2 * i] = digits[digest[i] & 15];
	}
	pp_put_text(out, "@module", 7);
	pp_put_text(out, text, sizeof(text));
}

/* A CBOR map, keys in order: what begins with '-', '.' or a digit stands before '@'. */
static void put_meta(struct pp_out *out, const struct pf_update *update,
		     const struct pf_metrics *metrics)
{
	unsigned i = 0;

	pp_put_map(out, metrics->count + 1);
	while (i < metrics->count && metrics->list[i].name[0] < '@') {
		put_metric(out, &metrics->list[i++]);
	}
	put_module(out, update->module);
	while (i < metrics->count) {
		put_metric(out, &metrics->list[i++]);
	}
}

static void put_head(uint8_t *at, const struct pf_update *update, size_t meta, uint32_t body)
{
	at = put_raw(at, (const uint8_t *)"PFU1", 4);
	at = put(at, 1, 1);
	at = put(at, update->encoding, 1);
	at = put(at, update->encoding == PF_F32_FULL ? 1 : 0, 1);
	at = put(at, 1, 1); /* signed */
	at = put_raw(at, update->job, 16);
	at = put(at, update->round, 4);
	at = put(at, update->attempt, 4);
	at = put(at, update->steps, 4);
	at = put(at, meta, 4);
	at = put(at, update->samples, 8);
	at = put(at, update->count, 8);
	at = put(at, body, 8);
	at = put_raw(at, update->base, 32);
	(void)put_raw(at, update->layout, 32);
}

int pf_update_seal(const struct proplet_port *port, const struct pf_update *update,
		   const struct pf_metrics *metrics, uint8_t *body, uint32_t size, uint8_t **out,
		   uint32_t *out_size)
{
	uint8_t message[sizeof(label) + 32 + 16];
	struct proplet_hash hash;
	struct pp_out meta;
	int why;

	pp_out_init(&meta, body - PF_META, PF_META);
	put_meta(&meta, update, metrics);
	if (meta.full) {
		return PROPLET_FULL;
	}
	memmove(body - meta.len, meta.at, meta.len);
	*out = body - meta.len - PF_HEAD;
	put_head(*out, update, meta.len, size);
	*out_size = (uint32_t)(PF_HEAD + meta.len) + size;
	memcpy(message, label, sizeof(label));
	why = port->hash_begin(port->ctx, &hash);
	why = why == PROPLET_OK ? port->hash_add(port->ctx, &hash, *out, *out_size) : why;
	why = why == PROPLET_OK ? port->hash_end(port->ctx, &hash, message + sizeof(label)) : why;
	memcpy(message + sizeof(label) + 32, update->nonce, 16);
	why = why == PROPLET_OK
		      ? port->sign(port->ctx, *out + *out_size, message, sizeof(message))
		      : why;
	*out_size += PF_SIGNATURE;
	return why;
}
