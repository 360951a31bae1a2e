/*
 * What the agent hears, by topic: frames are verified before anything in them is read, and whatever is
 * wrong with a message is counted and goes no further. The other half of agent.c.
 */
#include "inside.h"

#define MANAGER_EVERY 1000

/* -- what is heard ------------------------------------------------------------------------------ */

static void ask_for_trust(struct pp_agent *a, struct pp_now now)
{
	static const enum pp_topic trust[] = {PP_TOPIC_TRUST};

	if (now.mono >= a->trust_asked + PP_TRUST_EVERY) {
		a->trust_asked = now.mono;
		pp_subscribe(a, trust, 1, true);
	}
}

static void hear_desired(struct pp_agent *a, const uint8_t *payload, size_t len, struct pp_now now)
{
	struct pp_refused nameless = {.fence = 0};
	struct pp_view document;
	enum pp_reject why;

	if (len == 0) {
		return; /* the broker's slot was freed; nothing is removed by silence */
	}
	why = pp_open(a, PP_FOR_DESIRED, &pp_shape_desired, payload, len, &document, NULL);
	if (why == PP_TAKEN) {
		pp_documents_hear(
			a, document, (struct proplet_text){(const char *)payload + 4, payload[3]}, now);
		return;
	}
	pp_agent_count(a, pp_reject_word(why));
	nameless.reason = pp_reject_word(why);
	pp_documents_refuse(a, &nameless, now);
	if (why == PP_UNKNOWN_KID) {
		ask_for_trust(a, now);
	}
}

static enum pp_reject hear_trust(struct pp_agent *a, const uint8_t *payload, size_t len,
				 struct pp_now now)
{
	static const enum pp_topic both[] = {PP_TOPIC_DESIRED, PP_TOPIC_MANAGER_STATUS};
	const struct pp_effect save = {.what = PP_DO_SAVE_TRUST, .data = payload, .len = len};
	enum pp_reject why;
	bool newer = false;

	if (len == 0) {
		return PP_TAKEN;
	}
	why = pp_trust_take(a, payload, len, &newer);
	if (why == PP_TAKEN && newer) {
		pp_documents_trusted_anew(a, now);
		(void)pp_emit(a, &save);
		pp_subscribe(a, both, 2, true);
		pp_say(a, PROPLET_INFO, "took a newer trust document");
		pp_releases_trusted_anew(a);
	}
	return why;
}

static enum pp_reject hear_op(struct pp_agent *a, const uint8_t *payload, size_t len,
			      struct pp_now now)
{
	struct pp_view op;
	uint8_t roles = 0;
	const enum pp_reject why = pp_open(a, PP_FOR_OP, &pp_shape_op, payload, len, &op, &roles);

	if (why != PP_TAKEN) {
		return why;
	}
	/* A gateway only invokes, and this device is not invoked. */
	if ((roles & PP_ROLE_MANAGER) == 0) {
		const struct proplet_text verb = pp_text_in(op, PP_OP_VERB);

		if (verb.len != 6 || memcmp(verb.at, "invoke", 6) != 0) {
			return PP_NOT_ALLOWED;
		}
	}
	pp_operations_hear(a, op, now);
	if (a->collect) {
		a->collect = false;
		pp_reporting_at_once(a, now);
	}
	return PP_TAKEN;
}

static enum pp_reject open_manager(struct pp_agent *a, const uint8_t *payload, size_t len,
				   struct pp_view *message)
{
	struct pp_out out;
	enum pp_reject why;

	if (len > 0 && payload[0] == 'P') {
		return pp_open(a, PP_FOR_MANAGER, &pp_shape_manager_status, payload, len, message,
			       NULL);
	}
	pp_out_init(&out, a->memory.incoming, a->memory.document);
	why = pp_read(&pp_shape_manager_status, payload, len, &out);
	message->at = out.at;
	message->len = out.len;
	if (why == PP_TAKEN && pp_int_in(*message, PP_MANAGER_STATUS_STATE) !=
				       PP_MANAGER_STATUS_STATE_OFFLINE) {
		return PP_NOT_FRAMED;
	}
	return why;
}

static enum pp_reject hear_manager(struct pp_agent *a, const uint8_t *payload, size_t len,
				   struct pp_now now)
{
	struct pp_view message;
	const enum pp_reject why = open_manager(a, payload, len, &message);
	struct proplet_text src;
	int64_t fence, conn;
	bool online, same;

	if (why != PP_TAKEN) {
		return why;
	}
	online = pp_int_in(message, PP_MANAGER_STATUS_STATE) ==
		 PP_MANAGER_STATUS_STATE_ONLINE;
	fence = pp_int_in(message, PP_MANAGER_STATUS_FENCE);
	conn = pp_int_in(message, PP_MANAGER_STATUS_CONN);
	src = pp_text_in(message, PP_MANAGER_STATUS_SRC);
	if (!online && a->manager.known &&
	    (fence < a->manager.fence ||
	     (fence == a->manager.fence && conn < a->manager.conn))) {
		return PP_TAKEN; /* an older one's will does not speak for a newer one */
	}
	same = a->manager.known && a->manager.online == online && a->manager.fence == fence &&
	       a->manager.conn == conn && strlen(a->manager.src) == src.len &&
	       memcmp(a->manager.src, src.at, src.len) == 0;
	a->manager.known = true;
	a->manager.online = a->manager.present = online;
	a->manager.fence = fence;
	a->manager.conn = conn;
	memcpy(a->manager.src, src.at, src.len);
	a->manager.src[src.len] = 0;
	if (!online || (same && now.mono - a->manager.at < MANAGER_EVERY)) {
		return PP_TAKEN;
	}
	a->manager.at = now.mono;
	pp_modules_retry(a);
	pp_documents_ask_again(a);
	pp_announce(a, now);
	return PP_TAKEN;
}

static enum pp_reject hear_chunk(struct pp_agent *a, const uint8_t *payload, size_t len,
				 struct pp_now now)
{
	struct pp_chunk chunk;
	const enum pp_reject why = pp_chunk_read(payload, len, &chunk);

	if (why == PP_TAKEN && !pp_downloads_hear(a, &chunk, now)) {
		pp_agent_count(a, "unasked");
	}
	return why;
}

static enum pp_reject hear_ack(struct pp_agent *a, const uint8_t *payload, size_t len,
			       struct pp_now now)
{
	struct pp_view ack;
	const enum pp_reject why =
		pp_open(a, PP_FOR_ACK, &pp_shape_blob_ack, payload, len, &ack, NULL);
	const struct pp_upload *upload;
	struct proplet_text id;
	uint8_t digest[32];
	bool lasting;
	size_t size;

	if (why != PP_TAKEN) {
		return why;
	}
	id = pp_text_in(ack, PP_BLOB_ACK_ID);
	if (id.len != strlen(a->id) || memcmp(id.at, a->id, id.len) != 0) {
		pp_agent_count(a, "foreign");
		return PP_TAKEN;
	}
	memcpy(digest, pp_bytes_in(ack, PP_BLOB_ACK_DIGEST, &size), 32);
	upload = pp_uploads_find(a, digest);
	lasting = upload != NULL && upload->lasting;
	if (pp_uploads_hear(a, ack, now)) {
		if (lasting) {
			(void)pp_emit_digest(a, PP_DO_DROP_UPLOAD, digest, 0);
		}
		(void)pp_emit_digest(a, PP_DO_FREE_BLOB, digest, 0);
	}
	return PP_TAKEN;
}

void pp_agent_hear(struct pp_agent *a, enum pp_topic topic, const uint8_t *payload, size_t len,
		   struct pp_now now)
{
	enum pp_reject why = PP_TAKEN;

	switch (topic) {
	case PP_TOPIC_DESIRED:
		hear_desired(a, payload, len, now);
		break;
	case PP_TOPIC_TRUST:
		why = hear_trust(a, payload, len, now);
		break;
	case PP_TOPIC_RELEASES:
		why = pp_releases_hear(a, payload, len);
		break;
	case PP_TOPIC_OP:
		why = hear_op(a, payload, len, now);
		break;
	case PP_TOPIC_MANAGER_STATUS:
		why = hear_manager(a, payload, len, now);
		break;
	case PP_TOPIC_BLOB_DATA:
		why = hear_chunk(a, payload, len, now);
		break;
	case PP_TOPIC_BLOB_ACK:
		why = hear_ack(a, payload, len, now);
		break;
	default:
		break;
	}
	if (why != PP_TAKEN) {
		pp_agent_count(a, pp_reject_word(why));
		if (why == PP_UNKNOWN_KID) {
			ask_for_trust(a, now);
		}
	}
	pp_turn(a, now);
}
