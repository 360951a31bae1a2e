/* Between runs.c and lives.c: the steps of one run. */
#ifndef PP_LIVES_H
#define PP_LIVES_H

#include "inside.h"

int pp_run_save(struct pp_agent *a, const struct pp_run *run);
/* The record is that of an end already: show it, keep it. */
void pp_run_end(struct pp_agent *a, struct pp_run *run);
void pp_run_stop(struct pp_agent *a, struct pp_run *run, enum pp_why why, int64_t grace);

#endif
