/* See endings.h. */
#include "endings.h"

#include "values.h"

const char *proplet_end_word(enum proplet_end end)
{
	static const char *const words[] = {
#define X(name, text) text,
		PROPLET_ENDS(X)
#undef X
	};

	return (unsigned)end < sizeof(words) / sizeof(words[0]) ? words[end] : "unknown";
}

void proplet_words_limit(struct proplet_outcome *out, const struct proplet_job *job)
{
	size_t at;

	switch (out->end) {
	case PROPLET_END_FUEL:
		proplet_put_text(out->text, sizeof(out->text), 0, "used up its fuel");
		return;
	case PROPLET_END_TIMEOUT:
		at = proplet_put_text(out->text, sizeof(out->text), 0,
				      "ran longer than its limit of ");
		proplet_put_ms(out->text, sizeof(out->text), at, job->timeout);
		return;
	case PROPLET_END_OUTPUT:
		at = proplet_put_text(out->text, sizeof(out->text), 0,
				      "wrote more than its limit of ");
		at = proplet_put_size(out->text, sizeof(out->text), at, job->output);
		proplet_put_text(out->text, sizeof(out->text), at, " to stdout");
		return;
	default:
		proplet_put_text(out->text, sizeof(out->text), 0, "stopped");
	}
}

void proplet_words_trap(struct proplet_outcome *out, const struct proplet_job *job,
			const char *words)
{
	size_t at = proplet_put_text(out->text, sizeof(out->text), 0, "trapped: ");

	out->end = PROPLET_END_TRAPPED;
	at = proplet_put_text(out->text, sizeof(out->text), at, words);
	if (job->memory != PROPLET_UNLIMITED && out->memory > 0 && out->memory >= job->memory / 2) {
		at = proplet_put_text(out->text, sizeof(out->text), at, "; it had ");
		at = proplet_put_size(out->text, sizeof(out->text), at, out->memory);
		at = proplet_put_text(out->text, sizeof(out->text), at, " of ");
		at = proplet_put_size(out->text, sizeof(out->text), at, job->memory);
		proplet_put_text(out->text, sizeof(out->text), at, " memory");
	}
}

void proplet_words_refused(struct proplet_outcome *out, const char *words)
{
	out->end = PROPLET_END_REFUSED;
	if (words != out->text) {
		proplet_put_text(out->text, sizeof(out->text), 0, words);
	}
}
