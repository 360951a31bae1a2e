/*
 * Power fails at every write there is, before it, after it, and half-way through bytes of a blob; the
 * device comes up again and must converge, and no task may ever have been started twice.
 */
#include "fake.h"

#define A "00000000-0000-0000-0000-00000000000a"
#define B "00000000-0000-0000-0000-00000000000b"
#define D "00000000-0000-0000-0000-00000000000d"

static struct fake f;
static unsigned stage;

static const char *list(unsigned gen)
{
	static char text[4000], one[800], two[800], small[72], large[72];
	const char *const restart = ",\"restart\":\"Always\",\"backoffBase\":50";

	fake_module(&f, 600, small);
	fake_module(&f, 1500, large);
	switch (gen) {
	case 1: /* a task and a daemon */
		fake_entry(one, sizeof one, A, 1, "once", small, 639, 1, "");
		fake_entry(two, sizeof two, D, 2, "daemon", small, 639, 2, restart);
		snprintf(text, sizeof text, "[%s,%s]", one, two);
		break;
	case 2: /* a task with a large result and a larger module; the daemon is edited */
		fake_entry(one, sizeof one, B, 3, "once", large, 1539, 3, ",\"args\":[\"x\"]");
		fake_entry(two, sizeof two, D, 2, "daemon", small, 639, 4, restart);
		snprintf(text, sizeof text, "[%s,%s]", one, two);
		break;
	case 3: /* the first task is listed again: it may not run again */
		fake_entry(one, sizeof one, A, 1, "once", small, 639, 1, "");
		snprintf(text, sizeof text, "[%s]", one);
		break;
	default:
		snprintf(text, sizeof text, "[]");
	}
	return text;
}

static bool over(int state)
{
	return state == PP_SUCCEEDED || state == PP_INTERRUPTED;
}

static bool reached(void)
{
	const bool observed = fake_observed_gen(&f) == (int64_t)stage;

	switch (stage) {
	case 1:
		return observed && over(fake_state(&f, A)) && fake_state(&f, D) == PP_RUNNING;
	case 2:
		return observed && over(fake_state(&f, B)) && fake_state(&f, D) == PP_RUNNING &&
		       fake_state(&f, A) == -1 && f.proplet.agent.upload_count == 0;
	case 3:
		return observed && over(fake_state(&f, A)) && fake_state(&f, D) == -1;
	default:
		return observed && fake_state(&f, A) == -1;
	}
}

/* The whole story, however often power goes. Returns whether it came to its end. */
static bool story(void)
{
	unsigned steps = 0;

	while (!fake_boot(&f)) {
		if (++steps > 20) {
			return false;
		}
	}
	fake_trust(&f, 1);
	for (stage = 1; stage <= 4; stage++) {
		fake_desire(&f, stage, list(stage));
		while (!reached()) {
			if (++steps > 200) {
				return false;
			}
			if (!fake_try(&f, 100)) {
				while (!fake_boot(&f)) {
				}
			}
		}
	}
	return true;
}

static void check_once(unsigned cut, enum fake_cut how)
{
	CHECK(fake_starts(&f, A) == 1, "A started %u times, cut %u/%d", fake_starts(&f, A), cut, how);
	CHECK(fake_starts(&f, B) <= 1, "B started %u times, cut %u/%d", fake_starts(&f, B), cut, how);
	for (unsigned i = 0; i < f.started; i++) {
		for (unsigned j = 0; j < i; j++) {
			CHECK(f.starts[i].daemon || f.starts[j].daemon ||
				      memcmp(f.starts[i].run, f.starts[j].run, 16) != 0,
			      "a run started twice, cut %u/%d", cut, how);
		}
	}
}

int main(void)
{
	unsigned writes, cuts = 0;

	fake_init(&f);
	CHECK(story(), "without a cut, stage %u", stage);
	CHECK(fake_state(&f, A) == -1 && fake_starts(&f, A) == 1 && fake_starts(&f, B) == 1, "starts");
	CHECK(f.uploaded.have == 600, "the large result came up: %u", f.uploaded.have);
	writes = f.writes;
	CHECK(writes > 25, "%u writes", writes);
	for (unsigned how = FAKE_BEFORE; how <= FAKE_HALF; how++) {
		for (unsigned at = 1; at <= writes; at++, cuts++) {
			fake_init(&f);
			f.cut = (enum fake_cut)how;
			f.cut_at = at;
			CHECK(story(), "cut %u/%u, stage %u", at, how, stage);
			/* A cut between the record of a start and the start leaves it unrun. */
			if (fake_starts(&f, A) == 0) {
				CHECK(how == FAKE_AFTER || how == FAKE_HALF, "A never ran, cut %u", at);
				continue;
			}
			check_once(at, (enum fake_cut)how);
		}
	}
	printf("power: %u writes, %u cuts\n", writes, cuts);
	return harness_end("power");
}
