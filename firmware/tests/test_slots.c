/* Slots of schedules, as propeller/slots.py finds them: tests/vectors/slots.json. */
#include "../core/calendar.h"
#include "../core/json.h"
#include "harness.h"

static void one(json made)
{
	static uint8_t buffer[512];
	json told = json_get(made, "slots");
	struct pp_slots slots;
	struct pp_out out;
	char cron[80], zone[80];
	unsigned asked = 0;

	json_text(json_get(made, "cron"), cron, sizeof cron);
	json_text(json_get(made, "zone"), zone, sizeof zone);
	pp_out_init(&out, buffer, sizeof buffer);
	CHECK(pp_read(&pp_shape_wire_slots, told, (size_t)(pp_json_skip(told, json_end) - told),
		      &out) == PP_TAKEN &&
		      pp_slots_read((struct pp_view){buffer, out.len}, &slots),
	      "%s %s", cron, zone);
	for (json at = json_first(json_get(made, "at")); at != NULL; at = json_next(at), asked++) {
		json after = json_next(json_first(at)), before = json_next(after);
		const int64_t moment = json_number(json_first(at));
		const int64_t next = *after == 'n' ? INT64_MAX : json_number(after);
		const int64_t last = *before == 'n' ? -1 : json_number(before);
		const int64_t long_ago = moment - INT64_C(5) * 366 * 86400000;
		const int64_t found = pp_slot_after(&slots, moment);
		const int64_t newest = pp_slot_newest(&slots, long_ago, moment);

		CHECK(found == next, "%s %s after %lld: %lld, not %lld", cron, zone,
		      (long long)moment, (long long)found, (long long)next);
		CHECK(newest == (last > long_ago ? last : -1), "%s %s until %lld: %lld, not %lld",
		      cron, zone, (long long)moment, (long long)newest, (long long)last);
		CHECK(next == INT64_MAX || pp_slot_newest(&slots, moment, next - 1) == -1, "%s %s",
		      cron, zone);
	}
	CHECK(asked > 30, "%s %s: %u moments", cron, zone, asked);
}

/* What means nothing is not read, and nobody looks for it for long. */
static void nonsense(void)
{
	static const char *const told[] = {
		"{\"minutes\":\"0000000000000000\",\"hours\":1,\"days\":2,\"months\":2,\"weekdays\":1}",
		"{\"minutes\":\"f000000000000000\",\"hours\":1,\"days\":2,\"months\":2,\"weekdays\":1}",
		"{\"minutes\":\"0000000000000001\",\"hours\":0,\"days\":2,\"months\":2,\"weekdays\":1}",
		"{\"minutes\":\"0000000000000001\",\"hours\":1,\"days\":2,\"months\":2,\"weekdays\":1,"
		"\"summer\":60,\"starts\":[3,25,0],\"ends\":[10,25,0,60]}",
		"{\"minutes\":\"0000000000000001\",\"hours\":1,\"days\":2,\"months\":2,\"weekdays\":1,"
		"\"summer\":60,\"starts\":[13,25,0,0],\"ends\":[10,25,0,60]}",
	};
	uint8_t buffer[512];
	struct pp_slots slots;
	struct pp_out out;

	for (unsigned i = 0; i < sizeof told / sizeof told[0]; i++) {
		pp_out_init(&out, buffer, sizeof buffer);
		CHECK(pp_read(&pp_shape_wire_slots, (const uint8_t *)told[i], strlen(told[i]),
			      &out) == PP_TAKEN,
		      "%s", told[i]);
		CHECK(!pp_slots_read((struct pp_view){buffer, out.len}, &slots), "%s", told[i]);
	}
}

int main(int argc, char **argv)
{
	unsigned cases = 0;

	for (json made = json_first(json_file(argc > 1 ? argv[1] : "tests/vectors", "slots.json"));
	     made != NULL; made = json_next(made)) {
		one(made);
		cases++;
	}
	CHECK(cases >= 15, "%u schedules", cases);
	nonsense();
	return harness_end("slots");
}
