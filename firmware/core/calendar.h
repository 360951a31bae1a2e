/* Slots of a schedule: calendar.c. */
#ifndef PP_CALENDAR_H
#define PP_CALENDAR_H

#include "proplet/wire.h"

struct pp_slots {
	uint64_t minutes;
	uint32_t hours, days;
	uint16_t months, starts[4], ends[4];
	int16_t offset, summer;
	uint8_t weekdays;
	bool either, once, has_summer;
};
/* The field `slots` of a schedule; false where it is not there or means nothing. */
bool pp_slots_read(struct pp_view told, struct pp_slots *slots);
/* The first slot later than `at`, Unix ms; INT64_MAX: none for fifty years. */
int64_t pp_slot_after(const struct pp_slots *slots, int64_t at);
/* The last slot later than `since` and not later than `until`; -1: none. */
int64_t pp_slot_newest(const struct pp_slots *slots, int64_t since, int64_t until);

#endif
