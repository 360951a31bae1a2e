/*
 * Blobs on their way down, asked for by offset. The twin of proplet/downloads.py: a few pieces at
 * once, bytes handed over in order, backs off while nothing comes, gives up with the offset it
 * reached.
 */
#include "inside.h"

#define ATTEMPTS 12
#define ACTIVE 2
#define PATIENCE 400
#define PACE 64
#define SLOWEST 60000
#define EVEN 4
#define BASE 500
#define CAP 60000

static struct pp_transfer *find(struct pp_agent *a, const uint8_t *digest)
{
	for (unsigned i = 0; i < a->transfer_count; i++) {
		if (memcmp(a->transfers[i].digest, digest, 32) == 0) {
			return &a->transfers[i];
		}
	}
	return NULL;
}

static void drop_piece(struct pp_agent *a, struct pp_transfer *t, unsigned place)
{
	if (t->piece[place].early != 0) {
		a->early_used = (uint8_t)(a->early_used & ~(1u << (t->piece[place].early - 1)));
	}
	t->pieces--;
	memmove(&t->piece[place], &t->piece[place + 1], (t->pieces - place) * sizeof t->piece[0]);
}

static void rewind_pieces(struct pp_agent *a, struct pp_transfer *t)
{
	while (t->pieces > 0) {
		drop_piece(a, t, 0);
	}
	t->next = t->have;
}

static void forget_at(struct pp_agent *a, unsigned place)
{
	rewind_pieces(a, &a->transfers[place]);
	a->transfer_count--;
	memmove(&a->transfers[place], &a->transfers[place + 1],
		(a->transfer_count - place) * sizeof a->transfers[0]);
}

bool pp_downloads_begin(struct pp_agent *a, const uint8_t *digest, uint64_t size, uint64_t have,
			struct pp_now now)
{
	struct pp_transfer *t = find(a, digest);

	if (t != NULL) {
		rewind_pieces(a, t);
	} else if (a->transfer_count < PP_TRANSFERS) {
		t = &a->transfers[a->transfer_count++];
	} else {
		return false;
	}
	memset(t, 0, sizeof *t);
	memcpy(t->digest, digest, 32);
	t->size = size;
	t->have = t->next = have < size ? have : size;
	t->first = a->req + 1;
	t->heard = now.mono;
	t->error = "no answer";
	return true;
}

void pp_downloads_forget(struct pp_agent *a, const uint8_t *digest)
{
	for (unsigned i = 0; i < a->transfer_count; i++) {
		if (memcmp(a->transfers[i].digest, digest, 32) == 0) {
			forget_at(a, i);
			return;
		}
	}
}

void pp_downloads_spare(struct pp_agent *a)
{
	for (unsigned i = a->transfer_count; i-- > 0;) {
		if (!pp_modules_need(a, a->transfers[i].digest) &&
		    !pp_documents_await(a, a->transfers[i].digest)) {
			forget_at(a, i);
		}
	}
}

void pp_downloads_reopen(struct pp_agent *a, struct pp_now now)
{
	for (unsigned i = 0; i < a->transfer_count; i++) {
		rewind_pieces(a, &a->transfers[i]);
		a->transfers[i].attempts = 0;
		a->transfers[i].not_before = now.mono;
		a->transfers[i].heard = now.mono;
	}
}

/* -- asking ------------------------------------------------------------------------------------- */

static void ask(struct pp_agent *a, struct pp_transfer *t, uint64_t off, uint32_t len)
{
	struct pp_piece *const piece = &t->piece[t->pieces];
	struct pp_out out;

	if (t->pieces == sizeof t->piece / sizeof t->piece[0]) {
		return; /* asked for again once the others are here */
	}
	t->pieces++;
	a->req++;
	piece->off = off;
	piece->req = a->req;
	piece->len = len;
	piece->early = 0;
	pp_message_begin(a, &out);
	pp_put_map(&out, 6);
	pp_put_int_in(&out, 0, 1);
	pp_put_word_in(&out, PP_BLOB_GET_ID, a->id);
	pp_put_bytes_in(&out, PP_BLOB_GET_DIGEST, t->digest, 32);
	pp_put_int_in(&out, PP_BLOB_GET_OFF, (int64_t)off);
	pp_put_int_in(&out, PP_BLOB_GET_LEN, len);
	pp_put_int_in(&out, PP_BLOB_GET_REQ, a->req);
	(void)pp_publish(a, &pp_shape_blob_get, &out, false, NULL);
}

static void fill(struct pp_agent *a, struct pp_transfer *t, struct pp_now now)
{
	bool asking = false;

	for (unsigned i = 0; i < t->pieces; i++) {
		asking = asking || t->piece[i].early == 0;
	}
	if (!asking) {
		t->heard = now.mono;
	}
	while (t->pieces < a->config.window && t->next < t->size) {
		const uint64_t left = t->size - t->next;
		const uint32_t len = left < a->config.chunk ? (uint32_t)left : a->config.chunk;

		ask(a, t, t->next, len);
		t->next += len;
	}
}

static bool is_asking(const struct pp_transfer *t)
{
	for (unsigned i = 0; i < t->pieces; i++) {
		if (t->piece[i].early == 0) {
			return true;
		}
	}
	return false;
}

/* -- hearing ------------------------------------------------------------------------------------ */

static void fruitless(struct pp_agent *a, struct pp_transfer *t, const char *error, struct pp_now now)
{
	int64_t full;
	unsigned doubled;

	rewind_pieces(a, t);
	t->error = error;
	if (error == NULL || strcmp(error, "busy") != 0) {
		t->attempts++;
	}
	doubled = t->attempts > 1 ? t->attempts : 1;
	full = pp_min(CAP, (int64_t)BASE << (doubled < 20 ? doubled : 20));
	t->not_before = now.mono + a->shell.chance(a->shell.ctx, full / 2, full);
}

/* The place of the piece that `chunk` answers, or t->pieces. */
static unsigned hit(const struct pp_transfer *t, const struct pp_chunk *chunk)
{
	unsigned i;

	if (memcmp(t->digest, chunk->digest, 32) != 0) {
		return t->pieces;
	}
	for (i = 0; i < t->pieces; i++) {
		const struct pp_piece *const piece = &t->piece[i];

		if (piece->early != 0) {
			continue;
		}
		/* An answer to an earlier request is as good: the whole is verified in the end. */
		if (chunk->error != 0 ? piece->req == chunk->req
				      : piece->off == chunk->off && t->first <= chunk->req &&
						chunk->req <= piece->req) {
			break;
		}
	}
	return i;
}

static void write_piece(struct pp_agent *a, struct pp_transfer *t, const uint8_t *data, size_t len)
{
	const struct pp_effect effect = {.what = PP_DO_WRITE_CHUNK,
					 .digest = t->digest,
					 .off = t->have,
					 .total = t->size,
					 .data = data,
					 .len = len};

	t->have += len;
	t->checking = t->have >= t->size;
	(void)pp_emit(a, &effect);
}

static uint8_t *early_at(const struct pp_agent *a, unsigned place)
{
	return a->memory.early + (size_t)place * a->config.chunk;
}

/* Keeps a piece that came before its turn. False where there is no room: it is asked for again. */
static bool keep_early(struct pp_agent *a, struct pp_transfer *t, uint64_t off,
		       const uint8_t *data, size_t len)
{
	for (unsigned i = 0; i < 8 && (size_t)(i + 1) * a->config.chunk <= a->memory.early_size; i++) {
		struct pp_piece *const piece = &t->piece[t->pieces];

		if ((a->early_used >> i & 1) != 0 ||
		    t->pieces == sizeof t->piece / sizeof t->piece[0]) {
			continue;
		}
		a->early_used = (uint8_t)(a->early_used | 1u << i);
		memcpy(early_at(a, i), data, len);
		piece->off = off;
		piece->len = (uint32_t)len;
		piece->early = (uint8_t)(i + 1);
		t->pieces++;
		return true;
	}
	return false;
}

static void hand_over(struct pp_agent *a, struct pp_transfer *t)
{
	for (unsigned i = 0; i < t->pieces;) {
		const struct pp_piece piece = t->piece[i];

		if (piece.early == 0 || piece.off != t->have) {
			i++;
			continue;
		}
		write_piece(a, t, early_at(a, piece.early - 1u), piece.len);
		drop_piece(a, t, i);
		i = 0;
	}
}

static void take(struct pp_agent *a, struct pp_transfer *t, const struct pp_chunk *chunk,
		 unsigned place, struct pp_now now)
{
	const struct pp_piece piece = t->piece[place];

	drop_piece(a, t, place);
	if (chunk->total != t->size) {
		t->server = chunk->total;
		fruitless(a, t, NULL, now);
		return;
	}
	if (chunk->len == 0 || chunk->len > piece.len) {
		fruitless(a, t, "a piece of the wrong length", now);
		return;
	}
	if (chunk->len < piece.len) {
		ask(a, t, piece.off + chunk->len, piece.len - (uint32_t)chunk->len);
	}
	t->attempts = 0;
	t->heard = now.mono;
	if (piece.off == t->have) {
		write_piece(a, t, chunk->data, chunk->len);
		hand_over(a, t);
	} else if (!keep_early(a, t, piece.off, chunk->data, chunk->len)) {
		rewind_pieces(a, t); /* no room for it before its turn: all is asked for again */
	}
}

bool pp_downloads_hear(struct pp_agent *a, const struct pp_chunk *chunk, struct pp_now now)
{
	for (unsigned i = 0; i < a->transfer_count; i++) {
		struct pp_transfer *const t = &a->transfers[i];
		const unsigned place = hit(t, chunk);

		if (place == t->pieces) {
			continue;
		}
		if (chunk->error != 0) {
			fruitless(a, t, pp_blob_error_word(chunk->error), now);
		} else {
			take(a, t, chunk, place, now);
		}
		return true;
	}
	return false;
}

/* -- time --------------------------------------------------------------------------------------- */

static int64_t patience(const struct pp_transfer *t)
{
	int64_t wait = PATIENCE, bytes = 0;

	for (unsigned i = 0; i < t->pieces; i++) {
		bytes += t->piece[i].early == 0 ? t->piece[i].len : 0;
	}
	wait += bytes / PACE;
	/* Half more for each try from the fifth on: in units of 2^-tries, so that nothing is lost. */
	if (t->attempts > EVEN) {
		const unsigned late = t->attempts - (unsigned)EVEN;

		for (unsigned i = 0; i < late; i++) {
			wait *= 3;
		}
		wait >>= late;
	}
	return pp_min(SLOWEST, wait);
}

static void words_of(const struct pp_transfer *t, struct pp_words *words)
{
	pp_words_init(words);
	if (t->error != NULL) {
		pp_words_add(words, t->error);
	} else {
		pp_words_add(words, "the server has ");
		pp_words_number(words, t->server);
		pp_words_add(words, " bytes");
	}
	pp_words_add(words, ", at byte ");
	pp_words_number(words, t->have);
	pp_words_add(words, " of ");
	pp_words_number(words, t->size);
}

bool pp_downloads_tick(struct pp_agent *a, struct pp_now now, uint8_t digest[32],
		       struct pp_words *words)
{
	unsigned active = 0;

	for (unsigned i = 0; i < a->transfer_count; i++) {
		struct pp_transfer *const t = &a->transfers[i];

		if (t->checking) {
			continue;
		}
		if (t->size <= t->have) {
			write_piece(a, t, (const uint8_t *)"", 0);
			continue;
		}
		if (is_asking(t) && now.mono - t->heard >= patience(t)) {
			rewind_pieces(a, t);
			t->error = "no answer";
			t->attempts++;
			t->not_before = now.mono;
		}
		if (t->attempts >= ATTEMPTS) {
			memcpy(digest, t->digest, 32);
			words_of(t, words);
			forget_at(a, i);
			return true;
		}
		active++;
		if (active <= ACTIVE && now.mono >= t->not_before) {
			fill(a, t, now);
		}
	}
	return false;
}

int64_t pp_downloads_due(const struct pp_agent *a)
{
	int64_t due = PP_NEVER;

	for (unsigned i = 0; i < a->transfer_count; i++) {
		const struct pp_transfer *const t = &a->transfers[i];

		if (is_asking(t)) {
			due = pp_min(due, t->heard + patience(t));
		} else if (!t->checking) {
			due = pp_min(due, t->not_before);
		}
	}
	return due;
}
