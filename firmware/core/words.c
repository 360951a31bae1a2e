/* Lines put together, and the pool in which the notes of all runs stand. */
#include "inside.h"

void pp_words_init(struct pp_words *words)
{
	words->at[0] = 0;
	words->len = 0;
	words->cut = false;
}

void pp_words_text(struct pp_words *words, struct proplet_text text)
{
	size_t room = PROPLET_NOTE - words->len;

	if (words->cut) {
		return;
	}
	if (text.len <= room) {
		memcpy(words->at + words->len, text.at, text.len);
		words->len += text.len;
		words->at[words->len] = 0;
		return;
	}
	memcpy(words->at + words->len, text.at, room);
	words->len = PROPLET_NOTE - 3;
	while (words->len > 0 && ((uint8_t)words->at[words->len] & 0xC0) == 0x80) {
		words->len--;
	}
	memcpy(words->at + words->len, "...", 4);
	words->len += 3;
	words->cut = true;
}

void pp_words_add(struct pp_words *words, const char *text)
{
	pp_words_text(words, pp_words_of(text));
}

void pp_words_number(struct pp_words *words, uint64_t number)
{
	char digits[21];
	size_t at = sizeof digits - 1;

	digits[at] = 0;
	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	pp_words_add(words, digits + at);
}

struct proplet_text pp_words_all(const struct pp_words *words)
{
	return (struct proplet_text){words->at, words->len};
}

size_t pp_cut(struct proplet_text text, char *out, size_t limit)
{
	size_t len = text.len;

	if (len <= limit) {
		memcpy(out, text.at, len);
		return len;
	}
	len = limit - 3;
	while (len > 0 && ((uint8_t)text.at[len] & 0xC0) == 0x80) {
		len--;
	}
	memcpy(out, text.at, len);
	memcpy(out + len, "...", 3);
	return len + 3;
}

/* -- notes -------------------------------------------------------------------------------- */

static void close_gap(struct pp_note *note, size_t at, size_t len)
{
	if (note->len > 0 && note->at > at) {
		note->at = (uint16_t)(note->at - len);
	}
}

static void drop(struct pp_agent *a, struct pp_note *note)
{
	const size_t at = note->at, len = note->len;

	if (len == 0) {
		return;
	}
	note->len = 0;
	memmove(a->memory.notes + at, a->memory.notes + at + len, a->notes_len - at - len);
	a->notes_len -= len;
	for (size_t i = 0; i < a->run_count; i++) {
		for (unsigned j = 0; j < PP_NOTES; j++) {
			close_gap(&a->memory.runs[i].note[j], at, len);
		}
	}
	for (size_t i = 0; i < a->blob_count; i++) {
		close_gap(&a->memory.blobs[i].failed, at, len);
	}
}

void pp_note_set(struct pp_agent *a, struct pp_note *note, struct proplet_text text)
{
	char copy[PROPLET_NOTE]; /* the text may stand in the pool itself */
	size_t len = pp_cut(text, copy, sizeof copy);
	const size_t room = a->memory.notes_size - a->notes_len + note->len;

	drop(a, note);
	if (len > room) {
		len = room < 4 ? 0 : pp_cut((struct proplet_text){copy, len}, copy, room);
	}
	note->at = (uint16_t)a->notes_len;
	note->len = (uint16_t)len;
	if (len > 0) {
		memcpy(a->memory.notes + a->notes_len, copy, len);
	}
	a->notes_len += len;
}

struct proplet_text pp_note_get(const struct pp_agent *a, struct pp_note note)
{
	return (struct proplet_text){note.len > 0 ? a->memory.notes + note.at : "", note.len};
}

bool pp_note_is(const struct pp_agent *a, struct pp_note note, struct proplet_text text)
{
	const size_t len = text.len > PROPLET_NOTE ? PROPLET_NOTE : text.len;

	return note.len == len && (len == 0 || memcmp(a->memory.notes + note.at, text.at, len) == 0);
}
