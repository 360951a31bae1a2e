/*
 * May a file of native code run here? The twin of propeller/registry/aot.py: what it was made for and
 * that it is whole is read from storage, a few bytes at a time. What the code does nobody can tell; that
 * it may run here at all was said before (engine->aot), and that it is these bytes by their digest.
 */
#include "admit.h"

#define HEAD 64 /* magic, version, and the first section, which says what it was made for */
#define START 84 /* with the second, as far as the flags of its memory */
#define INFO 48
#define MAX_SECTIONS 4096
/* Only with both it looks up now and then whether it is to stop. */
#define THREADS 4 /* a feature */
#define SHARED 2  /* a flag of the memory */
#define ARCH 16

static uint32_t word(const uint8_t *at)
{
	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static bool fault(struct pp_words *why, const char *words)
{
	pp_words_add(why, "not native code that runs here: ");
	pp_words_add(why, words);
	return false;
}

static bool cut(struct pp_words *why, uint32_t at)
{
	(void)fault(why, "cut short at byte ");
	pp_words_number(why, at);
	return false;
}

static bool read_at(const struct proplet_port *port, const struct proplet_guest *guest, uint32_t at,
		    uint8_t *to, uint32_t len, struct pp_words *why)
{
	if (port->blob_read(port->ctx, guest->module, at, to, len) != PROPLET_OK) {
		return fault(why, "it could not be read from storage");
	}
	return true;
}

static size_t decimal(uint32_t number, char *to)
{
	char digits[10];
	size_t count = 0;

	do {
		digits[count++] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	for (size_t i = 0; i < count; i++) {
		to[i] = digits[count - 1 - i];
	}
	return count;
}

/* "arch/wamr-version"; 0 where the architecture is no name. */
static size_t target_of(const uint8_t *head, char *to)
{
	const uint8_t *const arch = head + HEAD - ARCH;
	size_t len = 0;

	while (len < ARCH && arch[len] != 0) {
		const uint8_t c = arch[len];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		      (len > 0 && (c == '_' || c == '.')))) {
			return 0;
		}
		to[len++] = (char)c;
	}
	for (size_t i = len; i < ARCH; i++) {
		if (arch[i] != 0) {
			return 0;
		}
	}
	if (len == 0 || len == ARCH) {
		return 0;
	}
	memcpy(to + len, "/wamr-", 6);
	len += 6;
	return len + decimal(word(head + 4), to + len);
}

static bool made_for(const struct proplet_engine *engine, const uint8_t *head, struct pp_words *why)
{
	char target[ARCH + 6 + 10];
	const size_t len = target_of(head, target);

	if (len == 0) {
		return fault(why, "names no architecture");
	}
	if (engine->aot == NULL || strlen(engine->aot) != len ||
	    memcmp(engine->aot, target, len) != 0) {
		(void)fault(why, "made for ");
		pp_words_text(why, (struct proplet_text){target, len});
		pp_words_add(why, ", this is ");
		pp_words_add(why, engine->aot == NULL ? "no place for any" : engine->aot);
		return false;
	}
	if (word(head + HEAD) != 1 || word(head + HEAD + 4) < START - HEAD - 8) {
		return fault(why, "does not tell of its memory");
	}
	if (word(head + HEAD + 8) != 0 || word(head + HEAD + 12) != 1 ||
	    (word(head + HEAD + 16) & SHARED) == 0) {
		return fault(why, "its memory is not shared: nothing could stop it");
	}
	if ((head[32] & THREADS) == 0) {
		return fault(why, "made without --enable-multi-thread: nothing could stop it");
	}
	return true;
}

static bool is_whole(const struct proplet_port *port, const struct proplet_guest *guest,
		     struct pp_words *why)
{
	uint32_t at = HEAD;

	for (unsigned i = 0; i < MAX_SECTIONS; i++) {
		uint8_t section[8];
		uint32_t size;

		at = at > UINT32_MAX - 3 ? UINT32_MAX : (at + 3) & ~UINT32_C(3);
		if (at >= guest->module_size) {
			return true;
		}
		if (guest->module_size - at < sizeof section) {
			return cut(why, guest->module_size);
		}
		if (!read_at(port, guest, at, section, sizeof section, why)) {
			return false;
		}
		at += (uint32_t)sizeof section;
		size = word(section + 4);
		if (size > guest->module_size - at) {
			return cut(why, guest->module_size);
		}
		at += size;
	}
	return fault(why, "more sections than are taken");
}

bool pp_admit_aot(const struct proplet_port *port, const struct proplet_engine *engine,
		  const struct proplet_guest *guest, struct pp_words *why)
{
	uint8_t head[START];

	pp_words_init(why);
	if (guest->module_size < START) {
		return cut(why, guest->module_size);
	}
	if (!read_at(port, guest, 0, head, START, why)) {
		return false;
	}
	if (memcmp(head, "\0aot", 4) != 0) {
		return fault(why, "does not begin like it");
	}
	if (word(head + 8) != 0 || word(head + 12) != INFO) {
		return fault(why, "does not begin with what it was made for");
	}
	return made_for(engine, head, why) && is_whole(port, guest, why);
}
