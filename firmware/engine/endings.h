/* How an end is told in a report, the same for every engine. */
#ifndef PROPLET_ENDINGS_H
#define PROPLET_ENDINGS_H

#include "runtime.h"

/* Fills out->text for what ended by a limit, or by somebody's word; `output` bytes of stdout. */
void proplet_words_limit(struct proplet_outcome *out, const struct proplet_job *job);

/* `trapped: <words>`, and how much memory it had where that was near its limit. */
void proplet_words_trap(struct proplet_outcome *out, const struct proplet_job *job,
			const char *words);

/* Ends it as refused, with words. */
void proplet_words_refused(struct proplet_outcome *out, const char *words);

#endif
