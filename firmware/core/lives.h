/* Between runs.c, kept.c, lives.c and timetable.c: the steps of one run. */
#ifndef PP_LIVES_H
#define PP_LIVES_H

#include "inside.h"

/* A run that is listed and that nobody has started yet. */
struct pp_run *pp_run_new(struct pp_agent *a, struct pp_view entry, uint16_t slot);
/* A slot of storage that nothing has. */
uint16_t pp_run_slot(const struct pp_agent *a);
void pp_run_take(struct pp_agent *a, struct pp_run *run, const struct pp_record *record);
struct pp_record pp_run_record(const struct pp_agent *a, const struct pp_run *run);
int pp_run_save_as(struct pp_agent *a, uint16_t slot, const struct pp_record *record);
/* The record of a slot, read into the scratch; what it points to stands there until the next. */
bool pp_run_load(struct pp_agent *a, uint16_t slot, struct pp_record *record);
/* The run is not listed any more: kept if it was a once-run that started. */
void pp_run_bury(struct pp_agent *a, struct pp_run *run);
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
