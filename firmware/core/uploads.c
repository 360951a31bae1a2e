/*
 * Blobs on their way up: results and large reports. The twin of proplet/uploads.py: one piece of each
 * under way, moved on by the manager's ack alone; nothing is ever given up.
 */
#include "inside.h"

#define ACTIVE 2
#define PATIENCE 5000
#define CAP 300000

struct pp_upload *pp_uploads_find(struct pp_agent *a, const uint8_t *digest)
{
	for (unsigned i = 0; i < a->upload_count; i++) {
		if (memcmp(a->uploads[i].digest, digest, 32) == 0) {
			return &a->uploads[i];
		}
	}
	return NULL;
}

bool pp_uploads_add(struct pp_agent *a, const uint8_t *digest, uint64_t size, bool lasting)
{
	struct pp_upload *upload = pp_uploads_find(a, digest);

	if (upload != NULL) {
		upload->lasting = upload->lasting || lasting;
		return true;
	}
	if (a->upload_count == PP_UPLOADS) {
		return false;
	}
	upload = &a->uploads[a->upload_count++];
	memset(upload, 0, sizeof *upload);
	memcpy(upload->digest, digest, 32);
	upload->size = size;
	upload->lasting = lasting;
	return true;
}

bool pp_uploads_forget(struct pp_agent *a, const uint8_t *digest)
{
	struct pp_upload *const upload = pp_uploads_find(a, digest);
	bool lasting;

	if (upload == NULL) {
		return false;
	}
	lasting = upload->lasting;
	a->upload_count--;
	memmove(upload, upload + 1,
		(a->upload_count - (size_t)(upload - a->uploads)) * sizeof *upload);
	return lasting;
}

void pp_uploads_drop_passing(struct pp_agent *a, const uint8_t *but)
{
	for (unsigned i = 0; i < a->upload_count;) {
		uint8_t digest[32];

		memcpy(digest, a->uploads[i].digest, 32);
		if (a->uploads[i].lasting || (but != NULL && memcmp(digest, but, 32) == 0)) {
			i++;
			continue;
		}
		(void)pp_uploads_forget(a, digest);
		(void)pp_emit_digest(a, PP_DO_FREE_BLOB, digest, 0);
	}
}

void pp_uploads_reopen(struct pp_agent *a, struct pp_now now)
{
	for (unsigned i = 0; i < a->upload_count; i++) {
		a->uploads[i].waiting = false;
		a->uploads[i].attempts = 0;
		a->uploads[i].next = now.mono;
	}
}

static void pause_upload(struct pp_agent *a, struct pp_upload *upload, struct pp_now now)
{
	int64_t full;

	upload->attempts++;
	full = pp_min(CAP, (int64_t)PATIENCE << (upload->attempts > 20 ? 20 : upload->attempts - 1));
	upload->next = now.mono + a->shell.chance(a->shell.ctx, full / 2, full);
}

/* True when the manager has all and the bytes may go. */
bool pp_uploads_hear(struct pp_agent *a, struct pp_view ack, struct pp_now now)
{
	const int64_t have = pp_int_in(ack, PP_BLOB_ACK_HAVE);
	size_t len;
	struct pp_upload *const upload =
		pp_uploads_find(a, pp_bytes_in(ack, PP_BLOB_ACK_DIGEST, &len));
	bool moved;

	if (upload == NULL) {
		return false;
	}
	switch (pp_int_in(ack, PP_BLOB_ACK_STATE)) {
	case PP_BLOB_ACK_STATE_STORED:
		(void)pp_uploads_forget(a, upload->digest);
		return true;
	case PP_BLOB_ACK_STATE_REFUSED:
		pause_upload(a, upload, now);
		upload->waiting = false;
		return false;
	default:
		break;
	}
	if ((uint64_t)have <= upload->size) {
		moved = (uint64_t)have > upload->have;
		upload->have = (uint64_t)have;
		upload->waiting = upload->have == upload->size;
		upload->attempts = moved ? 0 : upload->attempts;
		upload->next = upload->waiting ? now.mono + PATIENCE : now.mono;
	}
	return false;
}

void pp_uploads_tick(struct pp_agent *a, struct pp_now now)
{
	for (unsigned i = 0; i < a->upload_count && i < ACTIVE; i++) {
		struct pp_upload *const upload = &a->uploads[i];
		const uint64_t left = upload->size - upload->have;
		const struct pp_effect effect = {
			.what = PP_DO_SEND_CHUNK,
			.digest = upload->digest,
			.off = upload->have,
			.total = upload->size,
			.len = left < a->config.chunk ? (size_t)left : a->config.chunk,
		};

		if (now.mono < upload->next) {
			continue;
		}
		(void)pp_emit(a, &effect);
		pause_upload(a, upload, now);
		upload->waiting = true;
	}
}

int64_t pp_uploads_due(const struct pp_agent *a)
{
	int64_t due = PP_NEVER;

	for (unsigned i = 0; i < a->upload_count && i < ACTIVE; i++) {
		due = pp_min(due, a->uploads[i].next);
	}
	return due;
}
