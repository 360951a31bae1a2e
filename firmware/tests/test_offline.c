/* A device that is left alone: what it refuses to keep, and how long it goes on. */
#include "../core/inside.h"
#include "fake.h"

#define A "00000000-0000-0000-0000-00000000000a"
#define NONE "0000000000000000000000000000000000000000000000000000000000000000"
#define D "00000000-0000-0000-0000-00000000000d"

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
		{"timed", ",\"schedule\":{\"cron\":\"* * * * *\"}", "keeps no schedules"},
		{"daemon", ",\"schedule\":{\"cron\":\"* * * * *\"}", "keeps no schedules"},
		{"timed", "", "mode 'timed' is not known here"},
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

int main(void)
{
	what_is_not_kept();
	a_budget();
	a_rotten_record();
	return harness_end("offline");
}
