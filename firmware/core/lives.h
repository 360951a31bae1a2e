/* Between runs.c and lives.c: the steps of one run. */
#ifndef PP_LIVES_H
#define PP_LIVES_H

#include "inside.h"

int pp_run_save(struct pp_agent *a, const struct pp_run *run);
/* The record is that of an end already: show it, keep it. */
void pp_run_end(struct pp_agent *a, struct pp_run *run);
/* Can the entry be started? Asks for what is missing, refuses what never can. */
bool pp_run_obtain(struct pp_agent *a, struct pp_run *run, struct pp_now now);
void pp_run_trouble(struct pp_agent *a, struct pp_run *run, struct proplet_text words);
/* Ms until it is started again after so many failures in a row. */
int64_t pp_run_delay(struct pp_agent *a, const struct pp_run *run, uint32_t failures);
void pp_run_stop(struct pp_agent *a, struct pp_run *run, enum pp_why why, int64_t grace);

#endif
