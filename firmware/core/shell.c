/* What the agent asks for, done: the twin of proplet/shell.py. */
#include "device.h"
#include "inside.h"

static const struct {
	const struct pp_shape *shape;
	enum pp_topic topic;
	enum pp_purpose purpose;
} messages[] = {
	{&pp_shape_report, PP_TOPIC_REPORT, PP_FOR_REPORT},
	{&pp_shape_hello, PP_TOPIC_HELLO, PP_FOR_HELLO},
	{&pp_shape_status, PP_TOPIC_STATUS, PP_FOR_STATUS},
	{&pp_shape_op_answer, PP_TOPIC_OP_ANSWER, PP_FOR_ANSWER},
	{&pp_shape_blob_get, PP_TOPIC_BLOB_GET, PP_PURPOSES}, /* nobody signs it */
};

static int publish(struct proplet *p, const struct pp_effect *e)
{
	char topic[PROPLET_TOPIC];
	const size_t head = pp_frame_head(&p->key);
	uint8_t *at = p->agent.memory.scratch + (e->data - p->agent.memory.scratch);
	size_t len = e->len, i = 0;
	int why;

	while (messages[i].shape != e->shape) {
		i++;
	}
	if (!pp_topic_write(&p->channel, messages[i].topic, p->config.id,
			    e->op == NULL ? "" : e->op, 1, topic, sizeof topic)) {
		return PROPLET_REFUSED;
	}
	if (messages[i].purpose != PP_PURPOSES) {
		why = pp_frame_seal(p->port, messages[i].purpose, &p->key, at - head, len);
		if (why != PROPLET_OK) {
			return why;
		}
		at -= head;
		len += head;
	}
	why = p->port->publish(p->port->ctx, topic, at, len, 1, e->retain);
	if (why != PROPLET_OK && messages[i].topic == PP_TOPIC_REPORT && e->retain) {
		p->untold = true;
	}
	return why;
}

static int subscribe(struct proplet *p, const struct pp_effect *e)
{
	/* Trust before all others: it is needed to believe the rest. */
	for (unsigned pass = 0; pass < 2; pass++) {
		for (unsigned i = 0; i < e->topic_count; i++) {
			const bool first = e->topics[i] == PP_TOPIC_TRUST;
			char topic[PROPLET_TOPIC];

			if (first == (pass == 0) &&
			    pp_topic_write(&p->channel, e->topics[i], p->config.id, "",
					   p->agent.keys[0].alg, topic, sizeof topic)) {
				(void)p->port->subscribe(p->port->ctx, topic, e->again);
			}
		}
	}
	return PROPLET_OK;
}

static void note(struct proplet *p, const struct pp_effect *e)
{
	switch (e->what) {
	case PP_DO_SAVE_DESIRED:
		pp_ring_add(p, PROPLET_DID_ACCEPT, 0, NULL);
		p->ring[(p->ring_next - 1) % PROPLET_RING].gen = e->observed->gen;
		break;
	case PP_DO_SAVE_TRUST:
		pp_ring_add(p, PROPLET_DID_TRUST, 0, NULL);
		break;
	case PP_DO_SAVE_RUN:
		if (!e->record->tombstone && e->record->state >= PP_SUCCEEDED) {
			pp_ring_add(p, PROPLET_DID_END, e->record->state, e->record->uid);
		}
		break;
	case PP_DO_START:
		pp_ring_add(p, PROPLET_DID_START, (uint8_t)e->restarts, e->run->uid);
		break;
	case PP_DO_STOP:
		pp_ring_add(p, e->run->why == PP_WHY_ALONE ? PROPLET_DID_ALONE : PROPLET_DID_STOP,
			    e->run->why, e->run->uid);
		break;
	default:
		break;
	}
}

int pp_shell_effect(void *ctx, const struct pp_effect *e)
{
	struct proplet *const p = ctx;

	note(p, e);
	switch (e->what) {
	case PP_DO_SAVE_DESIRED:
		return pp_stored_save_desired(p, e);
	case PP_DO_SAVE_RUN:
		return pp_stored_save_run(p, e);
	case PP_DO_DROP_RUN:
		return p->port->del(p->port->ctx, (uint16_t)(PROPLET_REC_RUN + e->slot));
	case PP_DO_SAVE_TRUST:
		return p->port->put(p->port->ctx, PROPLET_REC_TRUST, e->data, e->len);
	case PP_DO_SAVE_RELEASES:
		return pp_stored_save_releases(p, e);
	case PP_DO_SAVE_UPLOAD:
		return pp_stored_save_uploads(p, e->digest, e->size, NULL);
	case PP_DO_DROP_UPLOAD:
		return pp_stored_save_uploads(p, NULL, 0, e->digest);
	case PP_DO_SAVE_TIMES: {
		const uint16_t id = (uint16_t)(PROPLET_REC_TIMES + e->slot);

		return e->data == NULL ? p->port->del(p->port->ctx, id)
				       : p->port->put(p->port->ctx, id, e->data, e->len);
	}
	case PP_DO_SAVE_SILENCE:
		return pp_stored_save_silence(p, e->iat, e->at);
	case PP_DO_SUBSCRIBE:
		return subscribe(p, e);
	case PP_DO_PUBLISH:
		return publish(p, e);
	case PP_DO_SEND_CHUNK:
		return pp_blobs_send(p, e);
	case PP_DO_WRITE_CHUNK:
		return pp_blobs_write(p, e->digest, e->off, e->total, e->data, e->len);
	case PP_DO_KEEP_BLOB:
		return pp_blobs_keep_inventory(p, e->digest, e->size);
	case PP_DO_FREE_BLOB:
		pp_blobs_free(p, e->digest);
		return PROPLET_OK;
	case PP_DO_START:
		return pp_guests_start(p, e->run, e->run_id, e->restarts);
	case PP_DO_STOP:
		pp_guests_stop(p, e->run, e->run_id, e->grace);
		return PROPLET_OK;
	case PP_DO_TAIL_LOG:
		pp_guests_tail(p, e);
		return PROPLET_OK;
	case PP_DO_WAKE:
		p->wake = e->at;
		return PROPLET_OK;
	case PP_DO_QUIT:
		p->drained = true;
		return PROPLET_OK;
	case PP_DO_SAY:
		p->port->say(p->port->ctx, e->level, e->text);
		return PROPLET_OK;
	case PP_DO_FETCH:
	case PP_DO_PREPARE:   /* the pump looks for what is asked for */
	case PP_DO_IN_USE:    /* whoever evicts asks */
	case PP_DO_FORGET_RUN: /* the log goes with the slot */
		return PROPLET_OK;
	}
	return PROPLET_OK;
}

int64_t pp_shell_chance(void *ctx, int64_t low, int64_t high)
{
	const struct proplet *const p = ctx;
	uint8_t bytes[8] = {0};
	uint64_t drawn = 0;

	(void)p->port->random(p->port->ctx, bytes, sizeof bytes); /* the lowest, where there is none */
	for (unsigned i = 0; i < sizeof bytes; i++) {
		drawn = drawn << 8 | bytes[i];
	}
	return low + (int64_t)(drawn % ((uint64_t)(high - low) + 1));
}
