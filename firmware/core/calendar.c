/*
 * When a schedule comes: slots out of sets of minutes, hours, days and the yearly rule of a time zone
 * (propeller/deviceslots.py makes them). The twin of propeller/slots.py, held to its answers by
 * tests/vectors/slots.json. Times inside are minutes since 1970, of UTC or of a wall clock.
 */
#include "calendar.h"
#include "inside.h"

#define DAY 1440
#define FAR (50 * 366) /* days that are looked at: what does not come in them never comes */

/* -- dates (H. Hinnant's algorithms of the proleptic calendar) ------------------------------------- */

static int64_t floor_div(int64_t number, int64_t by)
{
	return number / by - (number % by < 0);
}

static int64_t days_of(int32_t year, unsigned month, unsigned day)
{
	const int32_t y = year - (month <= 2);
	const int32_t era = (int32_t)floor_div(y, 400);
	const unsigned of_era = (unsigned)(y - era * 400);
	const unsigned of_year = (153 * (month + (month > 2 ? -3u : 9u)) + 2) / 5 + day - 1;

	return (int64_t)era * 146097 + (int64_t)(of_era * 365 + of_era / 4 - of_era / 100 + of_year) -
	       719468;
}

static void date_of(int64_t days, int32_t *year, unsigned *month, unsigned *day)
{
	const int64_t z = days + 719468;
	const int32_t era = (int32_t)floor_div(z, 146097);
	const unsigned doe = (unsigned)(z - (int64_t)era * 146097);
	const unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	const unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	const unsigned mp = (5 * doy + 2) / 153;

	*day = doy - (153 * mp + 2) / 5 + 1;
	*month = mp < 10 ? mp + 3 : mp - 9;
	*year = (int32_t)yoe + era * 400 + (*month <= 2);
}

static unsigned weekday_of(int64_t days)
{
	return (unsigned)(days + 4 - floor_div(days + 4, 7) * 7);
}

/* -- the zone ------------------------------------------------------------------------------------ */

/* The minute of UTC at which a rule turns the clock, which shows `offset` until then. */
static int64_t turn(const uint16_t rule[4], int32_t year, int32_t offset)
{
	const int64_t first = days_of(year, rule[0], rule[1]);
	const unsigned ahead = (rule[2] + 7 - weekday_of(first)) % 7;

	return (first + ahead) * DAY + rule[3] - offset;
}

/* The offset at a minute of UTC, and the minute of its next change. */
static int32_t offset_at(const struct pp_slots *s, int64_t at, int64_t *until)
{
	int64_t latest = INT64_MIN;
	int32_t year, offset = s->offset;
	unsigned month, day;

	*until = PP_NEVER;
	if (!s->has_summer) {
		return offset;
	}
	date_of(floor_div(at, DAY), &year, &month, &day);
	for (int32_t y = year - 1; y <= year + 1; y++) {
		for (unsigned i = 0; i < 2; i++) {
			const int64_t when = i == 0 ? turn(s->starts, y, s->offset)
						    : turn(s->ends, y, s->summer);

			if (when > at) {
				*until = pp_min(*until, when);
			} else if (when > latest) {
				latest = when;
				offset = i == 0 ? s->summer : s->offset;
			}
		}
	}
	return offset;
}

/* The minute of UTC that a wall clock shows: the first where it comes twice, the gap's end where it
 * does not come. */
static int64_t utc_of(const struct pp_slots *s, int64_t local)
{
	int64_t early, late, until;

	if (!s->has_summer) {
		return local - s->offset;
	}
	early = local - (s->summer > s->offset ? s->summer : s->offset);
	late = local - (s->summer > s->offset ? s->offset : s->summer);
	if (early + offset_at(s, early, &until) == local) {
		return early;
	}
	if (late + offset_at(s, late, &until) == local) {
		return late;
	}
	(void)offset_at(s, early, &until);
	return until;
}

/* -- slots --------------------------------------------------------------------------------------- */

static bool day_fits(const struct pp_slots *s, int64_t days)
{
	int32_t year, next_year;
	unsigned month, day, next_month, next_day;
	bool by_number, by_weekday;

	date_of(days, &year, &month, &day);
	if ((s->months >> month & 1) == 0) {
		return false;
	}
	date_of(days + 1, &next_year, &next_month, &next_day);
	by_number = (s->days >> day & 1) != 0 || ((s->days & 1) != 0 && next_day == 1);
	by_weekday = (s->weekdays >> weekday_of(days) & 1) != 0;
	return s->either ? by_number || by_weekday : by_number && by_weekday;
}

/* The first minute of a wall clock from `at` on and before `end` that fits; PP_NEVER. Shows a clock
 * without changes. */
static int64_t fits_from(const struct pp_slots *s, int64_t at, int64_t end)
{
	int64_t days = floor_div(at, DAY), minute = at - days * DAY;
	const int64_t last = days + FAR;

	for (; days <= last && days * DAY + minute < end; days++, minute = 0) {
		if (!day_fits(s, days)) {
			continue;
		}
		for (; minute < DAY; minute++) {
			if ((s->hours >> (minute / 60) & 1) == 0) {
				minute += 59 - minute % 60;
			} else if ((s->minutes >> (minute % 60) & 1) != 0) {
				return days * DAY + minute < end ? days * DAY + minute : PP_NEVER;
			}
		}
	}
	return PP_NEVER;
}

/* Slots of a wall clock, each once. */
static int64_t once_after(const struct pp_slots *s, int64_t at)
{
	int64_t until, local = at + offset_at(s, at, &until);

	for (;;) {
		int64_t utc;

		local = fits_from(s, local, PP_NEVER);
		if (local == PP_NEVER) {
			return PP_NEVER;
		}
		utc = utc_of(s, local);
		if (utc > at) {
			return utc;
		}
		local++;
	}
}

/* Slots of time as it passes: stretch by stretch between changes of the clock. */
static int64_t each_after(const struct pp_slots *s, int64_t at)
{
	const int64_t end = at + (int64_t)FAR * DAY;

	at++;
	while (at < end) {
		int64_t until, found;
		const int32_t offset = offset_at(s, at, &until);

		found = fits_from(s, at + offset, until == PP_NEVER ? PP_NEVER : until + offset);
		if (found != PP_NEVER || until == PP_NEVER) {
			return found == PP_NEVER ? PP_NEVER : found - offset;
		}
		at = until;
	}
	return PP_NEVER;
}

int64_t pp_slot_after(const struct pp_slots *s, int64_t at)
{
	const int64_t minute = floor_div(at, 60000);
	const int64_t found = s->once ? once_after(s, minute) : each_after(s, minute);

	return found == PP_NEVER ? PP_NEVER : found * 60000;
}

int64_t pp_slot_newest(const struct pp_slots *s, int64_t since, int64_t until)
{
	int64_t low = floor_div(since, 60000), high = floor_div(until, 60000);

	if (pp_slot_after(s, since) > until) {
		return -1;
	}
	/* The last minute after which there is still one. */
	while (high - low > 1) {
		const int64_t middle = low + (high - low) / 2;

		if (pp_slot_after(s, middle * 60000) <= until) {
			low = middle;
		} else {
			high = middle;
		}
	}
	return pp_slot_after(s, low * 60000);
}

static bool rule_read(struct pp_view list, uint16_t rule[4])
{
	struct pp_items items = pp_items(list);
	struct pp_view item;
	unsigned i = 0;

	while (pp_next(&items, &item)) {
		rule[i++] = (uint16_t)pp_int(item, 0); /* the table lets four pass */
	}
	return i == 4 && rule[0] >= 1 && rule[0] <= 12 && rule[1] >= 1 && rule[1] <= 31 &&
	       rule[2] <= 6;
}

bool pp_slots_read(struct pp_view told, struct pp_slots *s)
{
	size_t len;
	const uint8_t *const minutes = pp_bytes_in(told, PP_WIRE_SLOTS_MINUTES, &len);

	memset(s, 0, sizeof *s);
	if (told.at == NULL || len != 8) {
		return false;
	}
	for (unsigned i = 0; i < 8; i++) {
		s->minutes = s->minutes << 8 | minutes[i];
	}
	s->hours = (uint32_t)pp_int_in(told, PP_WIRE_SLOTS_HOURS);
	s->days = (uint32_t)pp_int_in(told, PP_WIRE_SLOTS_DAYS);
	s->months = (uint16_t)pp_int_in(told, PP_WIRE_SLOTS_MONTHS);
	s->weekdays = (uint8_t)pp_int_in(told, PP_WIRE_SLOTS_WEEKDAYS);
	s->either = pp_true(pp_field(told, PP_WIRE_SLOTS_EITHER));
	s->once = pp_true(pp_field(told, PP_WIRE_SLOTS_ONCE));
	s->offset = (int16_t)pp_int_in(told, PP_WIRE_SLOTS_OFFSET);
	s->has_summer = pp_has(told, PP_WIRE_SLOTS_SUMMER);
	s->summer = (int16_t)pp_int_in(told, PP_WIRE_SLOTS_SUMMER);
	s->minutes &= (UINT64_C(1) << 60) - 1;
	if (s->minutes == 0 || s->hours == 0) {
		return false; /* it never comes: nobody has to look for it for long */
	}
	return !s->has_summer || (rule_read(pp_field(told, PP_WIRE_SLOTS_STARTS), s->starts) &&
				  rule_read(pp_field(told, PP_WIRE_SLOTS_ENDS), s->ends));
}
