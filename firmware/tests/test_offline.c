/* A device that is left alone: what it refuses to keep, and how long it goes on. */
#include "../core/inside.h"
#include "fake.h"

#define A "00000000-0000-0000-0000-00000000000a"
#define NONE "0000000000000000000000000000000000000000000000000000000000000000"
#define D "00000000-0000-0000-0000-00000000000d"

/* Every minute, in UTC. */
#define SCHEDULE(more)                                                                             \
	",\"restart\":\"Always\",\"maxRestarts\":0,\"schedule\":{\"cron\":\"* * * * *\"" more ",\"slots\":{"                   \
	"\"minutes\":\"0fffffffffffffff\",\"hours\":16777215,\"days\":4294967294,\"months\":8190,"    \
	"\"weekdays\":127}}"
#define MINUTE 60000

static struct fake f;
static char text[4000], one[1200], module[72];

static void up(void)
{
	fake_init(&f);
	CHECK(fake_boot(&f), "boot");
	fake_connect(&f);
	fake_trust(&f, 1);
	fake_run(&f, 50);
	fake_module(&f, 600, module);
}

static void want(unsigned gen, const char *uid, unsigned run, const char *mode, const char *more)
{
	fake_entry(one, sizeof one, uid, run, mode, module, 639, gen, more);
	snprintf(text, sizeof text, "[%s]", one);
	fake_desire(&f, gen, text);
	fake_run(&f, 500);
}

static bool has(struct proplet_text said, const char *words)
{
	char copy[4200];

	snprintf(copy, sizeof copy, "%.*s", (int)said.len, said.at);
	if (strstr(copy, words) == NULL) {
		fprintf(stderr, "it says: %s\n", copy);
		return false;
	}
	return true;
}

static bool error_has(const char *uid, const char *words)
{
	return has(pp_text(pp_field(fake_reported(&f, uid), PP_RUN_REPORT_ERROR)), words);
}

static bool decisions_have(const char *words)
{
	const struct pp_view answer = {f.answer, sizeof f.answer};

	fake_say(&f, "decisions", NULL, NULL);
	fake_run(&f, 20);
	return has(pp_text(pp_field(answer, PP_OP_ANSWER_TEXT)), words);
}

/* What this agent does not know how to keep is refused, each in its own words, and never started. */
static void what_is_not_kept(void)
{
	static const struct {
		const char *mode, *more, *words;
	} asked[] = {
		{"serve", ",\"serve\":{\"interface\":\"Command\"}", "takes no calls"},
		{"serve", "", "mode 'serve' is not known here"},
		{"timed", ",\"schedule\":{\"cron\":\"* * * * *\"}", "comes without slots"},
		{"daemon", ",\"schedule\":{\"cron\":\"* * * * *\"}", "says when it is run"},
		{"timed", "", "says when it is run"},
		{"once", ",\"external\":\"edge\"", "no external engine 'edge' here"},
		{"once", ",\"topics\":[{\"name\":\"t\",\"publish\":\"x\"}]", "messages of guests"},
		{"once", ",\"models\":[{\"name\":\"m\",\"blob\":{\"digest\":\"sha256:" NONE "\",\"size\":1}}]",
		 "hands no models"},
	};

	up();
	for (unsigned i = 0; i < sizeof asked / sizeof asked[0]; i++) {
		want(i + 1, A, i + 1, asked[i].mode, asked[i].more);
		CHECK(fake_state(&f, A) == PP_REFUSED, "%u: state %d", i, fake_state(&f, A));
		CHECK(error_has(A, asked[i].words), "%u: why", i);
	}
	f.memory.times_count = 0;
	CHECK(fake_boot(&f), "boot");
	fake_connect(&f);
	want(20, A, 20, "timed", SCHEDULE(""));
	CHECK(fake_state(&f, A) == PP_REFUSED && error_has(A, "keeps no schedules"), "no memory for it");
	CHECK(f.started == 0, "started %u", f.started);
}

/* A budget is spent by the device's own clock, told, kept to over a reboot, and restored by a word of
 * the manager; what that costs of the storage is bounded. */
static void a_budget(void)
{
	struct pp_view told;
	unsigned writes;
	int64_t at;

	up();
	fake_manager_online(&f);
	want(1, D, 2, "daemon", ",\"restart\":\"Always\",\"autonomy\":600000");
	fake_run(&f, 900000);
	CHECK(fake_state(&f, D) == PP_RUNNING && fake_starts(&f, D) == 1, "the manager is there");
	fake_disconnect(&f);
	writes = f.writes;
	fake_run(&f, 590000);
	CHECK(f.guests[0].alive, "not yet spent");
	CHECK(f.writes - writes <= 10, "%u writes in ten minutes", f.writes - writes);
	fake_run(&f, 20000);
	CHECK(!f.guests[0].alive, "spent");
	at = (int64_t)f.wall;
	fake_run(&f, 60000);
	writes = f.writes;
	fake_run(&f, 1200000);
	CHECK(f.writes == writes, "%u writes when all is spent", f.writes - writes);
	f.synced = false;
	CHECK(fake_boot(&f), "boot");
	fake_run(&f, 60000);
	CHECK(fake_starts(&f, D) == 1, "a reboot gives nothing back");
	f.synced = true;
	fake_connect(&f);
	fake_run(&f, 1000);
	told = fake_reported(&f, D);
	CHECK(fake_state(&f, D) == PP_PENDING && error_has(D, "for 10m (placement.autonomy)"),
	      "a broker is not the manager, state %d", fake_state(&f, D));
	CHECK(pp_int(pp_field(told, PP_RUN_REPORT_SPENT), 0) > at - 30000, "when it was spent");
	CHECK(decisions_have(" alone 6 00000000"), "among the decisions");
	fake_manager_online(&f);
	fake_run(&f, 1000);
	CHECK(fake_state(&f, D) == PP_RUNNING && fake_starts(&f, D) == 2, "a word restores it");
}

/* What was stored of the time alone may be gone or rotten: then silence begins with the boot. */
static void a_rotten_record(void)
{
	up();
	fake_manager_online(&f);
	want(1, D, 2, "daemon", ",\"restart\":\"Always\",\"autonomy\":600000");
	f.synced = false;
	fake_disconnect(&f);
	fake_run(&f, 599000);
	for (unsigned i = 0; i < FAKE_RECORDS; i++) {
		if (f.records[i].used && f.records[i].id == PROPLET_REC_SILENCE) {
			f.records[i].data[0] ^= 0xFF;
		}
	}
	CHECK(fake_boot(&f), "boot");
	fake_run(&f, 599000);
	CHECK(fake_starts(&f, D) == 2 && f.guests[0].alive, "from the boot on");
	fake_run(&f, 2000);
	CHECK(!f.guests[0].alive, "spent");
}

static struct pp_view past(unsigned index)
{
	struct pp_items all = pp_items(pp_field(fake_reported(&f, D), PP_RUN_REPORT_PAST));
	struct pp_view found = {NULL, 0};

	for (unsigned i = 0; i <= index; i++) {
		if (!pp_next(&all, &found)) {
			return (struct pp_view){NULL, 0};
		}
	}
	return found;
}

static size_t told(void)
{
	return pp_count(pp_field(fake_reported(&f, D), PP_RUN_REPORT_PAST));
}

/* Times come with no manager, each is used once, and what became of them is told in order, over a
 * reboot as well; of results that had to go with nobody to tell so many are counted. */
static void a_schedule(void)
{
	int64_t slot;

	up();
	fake_manager_online(&f);
	want(1, D, 2, "timed", SCHEDULE(",\"keep\":3"));
	CHECK(fake_state(&f, D) == PP_RUNNING && told() == 0, "it is kept, state %d", fake_state(&f, D));
	fake_run(&f, MINUTE);
	CHECK(fake_starts(&f, D) == 1 && told() == 1, "%u starts", fake_starts(&f, D));
	slot = pp_int_in(past(0), PP_PAST_RUN_SLOT);
	CHECK(slot % MINUTE == 0 && pp_int_in(past(0), PP_PAST_RUN_STATE) == PP_SUCCEEDED, "the first");
	CHECK(pp_text_in(past(0), PP_PAST_RUN_RESULT).len == 2, "its result");
	fake_disconnect(&f);
	fake_run(&f, 2 * MINUTE);
	CHECK(fake_boot(&f), "boot");
	fake_run(&f, 2 * MINUTE);
	CHECK(fake_starts(&f, D) == 5, "%u starts", fake_starts(&f, D));
	fake_connect(&f);
	fake_manager_online(&f);
	fake_run(&f, 1000);
	CHECK(told() == 3 && pp_int_in(fake_reported(&f, D), PP_RUN_REPORT_LOST) == 2, "%zu told", told());
	for (unsigned i = 0; i < 3; i++) {
		CHECK(pp_int_in(past(i), PP_PAST_RUN_SLOT) == slot + (i + 2) * MINUTE, "in order");
	}
	want(2, D, 2, "timed", SCHEDULE(",\"keep\":2"));
	fake_run(&f, MINUTE);
	CHECK(told() == 2 && fake_starts(&f, D) == 6, "an edit begins nothing anew");
	fake_desire(&f, 3, "[]");
	fake_run(&f, 1000);
	for (unsigned i = 0; i < FAKE_RECORDS; i++) {
		CHECK(!f.records[i].used || f.records[i].id < PROPLET_REC_TIMES ||
			      f.records[i].id >= PROPLET_REC_TIMES + 32,
		      "nothing of it is left");
	}
}

/* Long results: as many as a record holds, whatever `history` says; the newest stay. */
static void long_results(void)
{
	up();
	f.result_len = 250;
	fake_manager_online(&f);
	want(1, D, 2, "timed", SCHEDULE(""));
	fake_disconnect(&f);
	fake_run(&f, 6 * MINUTE);
	fake_connect(&f);
	fake_run(&f, 1000);
	CHECK(fake_starts(&f, D) == 6 && told() == 3, "%zu told", told());
	CHECK(pp_int_in(fake_reported(&f, D), PP_RUN_REPORT_LOST) == 3, "and three lost");
	CHECK(pp_text_in(past(2), PP_PAST_RUN_RESULT).len == 250, "whole");
}

/* Nothing begins without a clock, nor where its beginning cannot be stored. */
static void nothing_begins(void)
{
	up();
	f.synced = false;
	want(1, D, 2, "timed", SCHEDULE(""));
	fake_run(&f, 2 * MINUTE);
	CHECK(fake_starts(&f, D) == 0 && error_has(D, "its clock is not set"), "no clock");
	f.synced = true;
	f.broken = true;
	fake_run(&f, 2 * MINUTE);
	CHECK(fake_starts(&f, D) == 0 && error_has(D, "could not be stored"), "no storage");
	f.broken = false;
	fake_run(&f, 2 * MINUTE);
	CHECK(fake_starts(&f, D) == 2, "%u starts", fake_starts(&f, D));
	want(2, D, 2, "timed", SCHEDULE(",\"keep\":4"));
	for (unsigned i = 0; i < FAKE_RECORDS; i++) {
		if (f.records[i].used && f.records[i].id == PROPLET_REC_TIMES) {
			f.records[i].data[f.records[i].len - 3] ^= 0xFF;
		}
	}
	CHECK(fake_boot(&f), "boot with a rotten record");
	fake_run(&f, 2 * MINUTE);
	CHECK(fake_starts(&f, D) >= 3, "it goes on");
}

/* As many schedules as there are places; one more waits, and says so. */
static void no_place(void)
{
	size_t len = 0;

	up();
	for (unsigned i = 0; i < 5; i++) {
		char uid[40];

		snprintf(uid, sizeof uid, "00000000-0000-0000-0000-0000000000%02u", i + 10);
		fake_entry(one, sizeof one, uid, i + 1, "timed", module, 639, i + 1, SCHEDULE(""));
		len += (size_t)snprintf(text + len, sizeof text - len, "%s%s", i == 0 ? "[" : ",", one);
	}
	snprintf(text + len, sizeof text - len, "]");
	f.engine.slots = 4;
	fake_desire(&f, 1, text);
	fake_run(&f, 1000);
	CHECK(f.proplet.agent.run_count == 0 || fake_state(&f, "00000000-0000-0000-0000-000000000014") ==
							 PP_PENDING,
	      "state %d", fake_state(&f, "00000000-0000-0000-0000-000000000014"));
}

/* Power fails at every write of a schedule's life: no time is ever begun twice. */
static void power_cuts(void)
{
	unsigned writes, begun;

	for (unsigned at = 0, most = 1; at <= most; at++) {
		up();
		want(1, D, 2, "timed", SCHEDULE(",\"keep\":2"));
		writes = f.writes;
		f.cut = at % 2 == 0 ? FAKE_BEFORE : FAKE_AFTER;
		f.cut_at = at == 0 ? 0 : writes + (at + 1) / 2;
		for (unsigned minutes = 0; minutes < 4; minutes++) {
			if (!fake_try(&f, MINUTE)) {
				CHECK(fake_boot(&f), "boot");
			}
		}
		begun = fake_starts(&f, D);
		CHECK(begun >= 2 && begun <= 4, "cut %u: %u starts", at, begun);
		for (unsigned i = 0; i < f.started; i++) {
			for (unsigned j = 0; j < i; j++) {
				CHECK(memcmp(f.starts[i].run, f.starts[j].run, 16) != 0,
				      "cut %u: a time was begun twice", at);
			}
		}
		most = at == 0 ? 2 * (f.writes - writes) : most;
	}
}

int main(void)
{
	what_is_not_kept();
	a_budget();
	a_rotten_record();
	a_schedule();
	long_results();
	nothing_begins();
	no_place();
	power_cuts();
	return harness_end("offline");
}
