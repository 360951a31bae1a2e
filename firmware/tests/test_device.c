/* A whole device over a fake port: what it stores, fetches, refuses, tells and survives. */
#include <stdlib.h>

#include "../core/inside.h"
#include "fake.h"

#define A "00000000-0000-0000-0000-00000000000a"
#define B "00000000-0000-0000-0000-00000000000b"
#define D "00000000-0000-0000-0000-00000000000d"
#define RUN_A "00000000000000000000000000000001"
#define RUN_D "00000000000000000000000000000002"

static struct fake f;
static char text[4000], one[800], two[800], module[72], other[72];

static void up(void)
{
	fake_init(&f);
	CHECK(fake_boot(&f), "boot");
	fake_connect(&f);
	fake_trust(&f, 1);
	fake_run(&f, 50);
	fake_module(&f, 600, module);
	fake_module(&f, 1500, other);
}

static const char *list1(const char *first)
{
	snprintf(text, sizeof text, "[%s]", first);
	return text;
}

static const char *task(const char *more)
{
	return fake_entry(one, sizeof one, A, 1, "once", module, 639, 1, more);
}

static const char *daemon_entry(unsigned digest, const char *more)
{
	return fake_entry(two, sizeof two, D, 2, "daemon", module, 639, digest, more);
}

static bool error_has(const char *uid, const char *words)
{
	const struct proplet_text error =
		pp_text(pp_field(fake_reported(&f, uid), PP_RUN_REPORT_ERROR));
	char copy[300];

	snprintf(copy, sizeof copy, "%.*s", (int)error.len, error.at);
	if (strstr(copy, words) == NULL) {
		fprintf(stderr, "error is: %s\n", copy);
		return false;
	}
	return true;
}

static bool answer_has(int64_t state, const char *words)
{
	const struct pp_view answer = {f.answer, f.answer_len};
	const struct proplet_text said = pp_text(pp_field(answer, PP_OP_ANSWER_TEXT));
	char copy[4200];

	snprintf(copy, sizeof copy, "%.*s", (int)said.len, said.at);
	if (f.answer_len == 0 || pp_int(pp_field(answer, PP_OP_ANSWER_STATE), -1) != state ||
	    strstr(copy, words) == NULL) {
		fprintf(stderr, "answer is: %s\n", copy);
		return false;
	}
	return true;
}

/* From nothing to a finished task. */
static void a_task_runs(void)
{
	up();
	CHECK(f.hellos >= 1 && f.reports >= 1, "told who it is");
	fake_desire(&f, 1, list1(task("")));
	fake_run(&f, 500);
	CHECK(fake_state(&f, A) == PP_SUCCEEDED, "state %d", fake_state(&f, A));
	CHECK(pp_text(pp_field(fake_reported(&f, A), PP_RUN_REPORT_RESULT)).len == 2, "result");
	CHECK(fake_starts(&f, A) == 1, "starts");
	CHECK(f.pieces == 3, "639 bytes in pieces of 256: %u", f.pieces);
}

/* A boot counts, keeps its installation, and takes up what ran. */
static void a_reboot(void)
{
	uint8_t inst[16];

	up();
	f.life = 1000000;
	snprintf(text, sizeof text, "[%s,%s]", task(""), daemon_entry(2, ",\"restart\":\"Always\""));
	fake_desire(&f, 1, text);
	fake_run(&f, 500);
	CHECK(fake_state(&f, A) == PP_RUNNING && fake_state(&f, D) == PP_RUNNING, "both run");
	memcpy(inst, f.proplet.agent.inst, 16);
	CHECK(fake_boot(&f) && f.proplet.boot == 2, "boot %u", f.proplet.boot);
	CHECK(memcmp(inst, f.proplet.agent.inst, 16) == 0, "inst stays");
	fake_run(&f, 200); /* without any network */
	CHECK(fake_starts(&f, D) == 2 && fake_starts(&f, A) == 1, "the daemon again, the task not");
	f.pieces = 0;
	fake_connect(&f);
	fake_run(&f, 200);
	CHECK(fake_state(&f, A) == PP_INTERRUPTED, "state %d", fake_state(&f, A));
	CHECK(error_has(A, "went down while it ran"), "why");
	CHECK(f.pieces == 0, "the module is still there");
}

/* A blob goes on where storage ends, over a reboot, on a way that loses pieces. */
static void a_blob_resumes(void)
{
	unsigned before;

	up();
	f.lose = 4;
	fake_entry(one, sizeof one, A, 1, "once", other, 1539, 1, "");
	fake_desire(&f, 1, list1(one));
	fake_run(&f, 100);
	before = f.blobs[0].have;
	CHECK(before > 0 && before < 1539, "cut in the middle: %u", before);
	CHECK(fake_boot(&f), "boot");
	f.pieces = f.lose = 0;
	fake_connect(&f);
	fake_run(&f, 500);
	CHECK(fake_state(&f, A) == PP_SUCCEEDED, "state %d", fake_state(&f, A));
	CHECK(f.pieces == (1539 - before + 255) / 256, "%u pieces for the rest", f.pieces);
}

/* What storage gives back is verified, not what was written. */
static void rotten_bytes(void)
{
	up();
	f.lose = 3;
	fake_entry(one, sizeof one, A, 1, "once", other, 1539, 1, "");
	fake_desire(&f, 1, list1(one));
	fake_run(&f, 100);
	f.blobs[0].data[10] ^= 1;
	f.lose = 0;
	fake_run(&f, 2000);
	CHECK(fake_state(&f, A) == PP_FETCHING && error_has(A, "something else"), "state %d",
	      fake_state(&f, A));
	fake_run(&f, 70000); /* it is asked for again, whole */
	CHECK(fake_state(&f, A) == PP_SUCCEEDED, "state %d", fake_state(&f, A));
}

/* Blobs nobody needs make room; those in use do not. */
static void eviction(void)
{
	up();
	f.room = 2000;
	fake_desire(&f, 1, list1(task("")));
	fake_run(&f, 500);
	CHECK(fake_state(&f, A) == PP_SUCCEEDED, "the first");
	fake_entry(one, sizeof one, B, 3, "once", other, 1539, 3, "");
	fake_desire(&f, 2, list1(one));
	fake_run(&f, 500);
	CHECK(fake_state(&f, B) == PP_SUCCEEDED, "the second took its place");
	f.room = 100;
	fake_desire(&f, 3, list1(daemon_entry(2, ",\"restart\":\"Always\"")));
	fake_run(&f, 500);
	CHECK(fake_state(&f, D) == PP_FETCHING && error_has(D, "storage is full"), "told why");
}

/* Without a record there is no start. */
static void broken_storage(void)
{
	up();
	fake_desire(&f, 1, list1(task("")));
	f.broken = true;
	fake_run(&f, 500);
	CHECK(f.started == 0, "nothing starts");
	CHECK(f.proplet.agent.observed.gen == 0, "nothing is accepted");
	CHECK(f.proplet.agent.report.refused.reason != NULL &&
		      strcmp(f.proplet.agent.report.refused.reason, "not_stored") == 0,
	      "refused in a word");
	f.broken = false;
	fake_desire(&f, 2, list1(task("")));
	fake_run(&f, 500);
	CHECK(fake_state(&f, A) == PP_SUCCEEDED, "once it works again");
	/* A start that cannot be stored does not happen, and is tried again. */
	fake_entry(one, sizeof one, B, 3, "once", module, 639, 3, "");
	fake_desire(&f, 3, list1(one));
	proplet_heard(&f.proplet, f.queue[0].topic, f.queue[0].payload, f.queue[0].len);
	CHECK(fake_starts(&f, B) == 1, "control: it starts at once");
}

static void a_start_that_fails(void)
{
	up();
	f.start_error = "no memory for its thread";
	fake_desire(&f, 1, list1(task("")));
	fake_run(&f, 500);
	CHECK(fake_state(&f, A) == PP_FAILED && error_has(A, "no memory for its thread"), "told");
	f.start_error = NULL;
	fake_run(&f, 500);
	CHECK(fake_starts(&f, A) == 0 && fake_state(&f, A) == PP_FAILED, "and it is over");
}

static void unfit_modules(void)
{
	up();
	fake_desire(&f, 1, list1(task(",\"args\":[\"1\",\"2\",\"3\",\"4\"]")));
	fake_run(&f, 500);
	CHECK(fake_state(&f, A) == PP_REFUSED && error_has(A, "4 given"), "by the engine");
	snprintf(one, sizeof one, "%s", "");
	fake_entry(one, sizeof one, B, 3, "once", module, 639, 3, ",\"sealed\":{\"KEY\":\"AAAA\"}");
	fake_desire(&f, 2, list1(one));
	fake_run(&f, 500);
	CHECK(fake_state(&f, B) == PP_REFUSED && error_has(B, "no key for secrets"), "sealed");
	fake_entry(one, sizeof one, B, 4, "once", module, 639, 5, ",\"memory\":9000000");
	fake_desire(&f, 3, list1(one));
	fake_run(&f, 500);
	CHECK(fake_state(&f, B) == PP_REFUSED && error_has(B, "bytes of memory, has"), "too large");
}

/* -- secrets ------------------------------------------------------------------------------------ */

#define VALUE "correct-horse-battery"

static void up_with_box(bool p256)
{
	fake_init(&f);
	fake_box(&f, p256);
	CHECK(fake_boot(&f), "boot");
	fake_connect(&f);
	fake_trust(&f, 1);
	fake_run(&f, 50);
	fake_module(&f, 600, module);
}

static const char *sealed_entry(const char *mode, unsigned run, unsigned digest, const char *sealed)
{
	static char more[800];

	snprintf(more, sizeof more, ",\"sealed\":{\"TOKEN\":\"%s\"}", sealed);
	return fake_entry(one, sizeof one, A, run, mode, module, 639, digest, more);
}

static bool anywhere(const void *memory, size_t size)
{
	const char *const at = memory;

	for (size_t i = 0; i + strlen(VALUE) <= size; i++) {
		if (memcmp(at + i, VALUE, strlen(VALUE)) == 0) {
			return true;
		}
	}
	return false;
}

/* Of all the device has in memory and storage, and of all it said. */
static bool leaked(void)
{
	memset(f.secret, 0, sizeof f.secret); /* the guest's */
	return anywhere(&f, sizeof f) || anywhere(f.memory.desired, f.memory.document) ||
	       anywhere(f.memory.incoming, f.memory.document) ||
	       anywhere(f.memory.scratch, f.memory.scratch_size) ||
	       anywhere(f.memory.notes, f.memory.notes_size) ||
	       anywhere(f.memory.told, f.memory.told_size);
}

/* The guest is given the value and nothing else ever holds it; a new one is a new run. */
static void secrets(bool p256)
{
	up_with_box(p256);
	fake_desire(&f, 1, list1(sealed_entry("daemon", 1, 1, fake_seal(&f, A, 1, "TOKEN", VALUE))));
	fake_run(&f, 200);
	CHECK(strcmp(f.secret, "TOKEN=" VALUE) == 0, "given: %s", f.secret);
	CHECK(!leaked(), "nowhere but there");
	fake_boot(&f);
	fake_connect(&f);
	fake_run(&f, 200);
	CHECK(strcmp(f.secret, "TOKEN=" VALUE) == 0, "and after a reboot: %s", f.secret);
	fake_desire(&f, 2, list1(sealed_entry("daemon", 2, 2, fake_seal(&f, A, 2, "TOKEN", "newer"))));
	fake_run(&f, 300);
	CHECK(strcmp(f.secret, "TOKEN=newer") == 0 && !leaked(), "rotated: %s", f.secret);
}

/* What was sealed for anything else is refused before anything starts. */
static void moved_secrets(bool p256)
{
	static const char *const why = "TOKEN was sealed to another key or for another run";
	static char kept[700];
	unsigned run = 10;

	up_with_box(p256);
	snprintf(kept, sizeof kept, "%s", fake_seal(&f, A, 9, "TOKEN", VALUE)); /* of an older run */
	fake_desire(&f, 1, list1(sealed_entry("once", run, run, kept)));
	fake_run(&f, 200);
	CHECK(fake_state(&f, A) == PP_REFUSED && error_has(A, why), "replayed");
	run++;
	fake_desire(&f, 2, list1(sealed_entry("once", run, run, fake_seal(&f, B, run, "TOKEN", VALUE))));
	fake_run(&f, 200);
	CHECK(fake_state(&f, A) == PP_REFUSED && error_has(A, why), "another object's");
	run++;
	fake_desire(&f, 3, list1(sealed_entry("once", run, run, fake_seal(&f, A, run, "OTHER", VALUE))));
	fake_run(&f, 200);
	CHECK(fake_state(&f, A) == PP_REFUSED && error_has(A, why), "another variable's");
	run++;
	snprintf(kept, sizeof kept, "%s", fake_seal(&f, A, run, "TOKEN", VALUE));
	kept[strlen(kept) - 8] = kept[strlen(kept) - 8] == 'A' ? 'B' : 'A';
	fake_desire(&f, 4, list1(sealed_entry("once", run, run, kept)));
	fake_run(&f, 200);
	CHECK(fake_state(&f, A) == PP_REFUSED && error_has(A, why), "changed");
	run++;
	f.config.id = "p2"; /* sealed for a device of this name */
	snprintf(kept, sizeof kept, "%s", fake_seal(&f, A, run, "TOKEN", VALUE));
	f.config.id = "p1";
	fake_desire(&f, 5, list1(sealed_entry("once", run, run, kept)));
	fake_run(&f, 200);
	CHECK(fake_state(&f, A) == PP_REFUSED && error_has(A, why), "another device's");
	run++;
	fake_desire(&f, 6, list1(sealed_entry("once", run, run, fake_seal(&f, A, run, "TOKEN", "a\xff"))));
	fake_run(&f, 200);
	CHECK(fake_state(&f, A) == PP_REFUSED && error_has(A, why), "not text");
	CHECK(f.started == 0 && !leaked(), "and nothing was started");
	run++;
	fake_desire(&f, 7, list1(sealed_entry("once", run, run, fake_seal(&f, A, run, "TOKEN", VALUE))));
	fake_run(&f, 200);
	CHECK(fake_state(&f, A) == PP_SUCCEEDED, "control: its own opens");
}

/* The key is said in hello; one that is none is refused when the device is made. */
static void boxes(void)
{
	struct pp_view hello;

	up_with_box(true);
	hello = (struct pp_view){f.proplet.hello, f.proplet.agent.hello.len};
	CHECK(memcmp(pp_text(pp_field(hello, PP_HELLO_BOX)).at, "p256:B", 6) == 0, "its box");
	f.config.box = "p256:AAAA";
	CHECK(proplet_init(&f.proplet, &f.config, &f.port, &f.engine, &f.memory) == PROPLET_REFUSED,
	      "no key");
	up();
	hello = (struct pp_view){f.proplet.hello, f.proplet.agent.hello.len};
	CHECK(!pp_has(hello, PP_HELLO_BOX), "none where it opens none");
}

static void operations(void)
{
	up();
	snprintf(f.log, sizeof f.log, "%s", "hello \xff gr\xc3\xbc\xc3\x9f""e\n");
	fake_desire(&f, 1, list1(daemon_entry(2, ",\"restart\":\"Always\"")));
	fake_run(&f, 300);
	fake_say(&f, "decisions", NULL, NULL);
	fake_run(&f, 20);
	CHECK(answer_has(PP_OP_ANSWER_STATE_DONE, "start 0 00000000"), "the ring");
	CHECK(answer_has(PP_OP_ANSWER_STATE_DONE, "b1 g0 boot 1"), "with its boot");
	f.answers = 0;
	fake_say(&f, "logs", D, RUN_D);
	fake_run(&f, 60);
	CHECK(f.answers == 3, "accepted, a piece, done: %u", f.answers);
	fake_say(&f, "restart", D, RUN_D);
	fake_run(&f, 100);
	CHECK(fake_starts(&f, D) == 2, "restarted: %u", fake_starts(&f, D));
	fake_say(&f, "cancel", D, RUN_D);
	fake_run(&f, 100);
	CHECK(fake_state(&f, D) == PP_FAILED && error_has(D, "cancelled by an operator"), "cancelled");
	fake_say(&f, "sing", NULL, NULL);
	fake_run(&f, 20);
	CHECK(answer_has(PP_OP_ANSWER_STATE_REFUSED, "verb 'sing' is not known here"), "unknown");
	fake_say(&f, "collect", NULL, NULL);
	f.reports = 0;
	fake_run(&f, 20);
	CHECK(f.reports > 0, "told at once");
}

/* The ring is there after the power was gone. */
static void the_ring_stays(void)
{
	up();
	fake_desire(&f, 1, list1(task("")));
	fake_run(&f, 500);
	CHECK(fake_boot(&f), "boot");
	fake_connect(&f);
	fake_run(&f, 50);
	fake_say(&f, "decisions", NULL, NULL);
	fake_run(&f, 20);
	CHECK(answer_has(PP_OP_ANSWER_STATE_DONE, "b2 g1 boot 1"), "the new boot");
	CHECK(answer_has(PP_OP_ANSWER_STATE_DONE, "b1 g1 end 5"), "the end before it");
}

static void a_report_that_does_not_leave(void)
{
	up();
	fake_desire(&f, 1, list1(task("")));
	fake_run(&f, 40);
	f.deaf = true;
	fake_run(&f, 300);
	f.reports = 0;
	f.deaf = false;
	fake_run(&f, 1500);
	CHECK(fake_state(&f, A) == PP_SUCCEEDED && f.reports > 0, "told later");
}

/* A clock that steps back: no duration is negative, nothing waits for ever. */
static void time_steps_back(void)
{
	up();
	fake_desire(&f, 1, list1(daemon_entry(2, ",\"restart\":\"Always\",\"readyAfter\":200")));
	fake_run(&f, 100);
	f.mono -= 90;
	fake_run(&f, 400);
	CHECK(fake_state(&f, D) == PP_RUNNING, "runs");
	CHECK(pp_true(pp_field(fake_reported(&f, D), PP_RUN_REPORT_READY)), "and is ready in the end");
}

static void draining(void)
{
	up();
	f.life = 1000000;
	snprintf(text, sizeof text, "[%s,%s]", task(""), daemon_entry(2, ",\"restart\":\"Always\""));
	fake_desire(&f, 1, text);
	fake_run(&f, 300);
	proplet_drain(&f.proplet);
	fake_run(&f, 100);
	CHECK(!proplet_drained(&f.proplet) && f.guests[0].alive, "the task may use its grace");
	fake_run(&f, 2500);
	CHECK(proplet_drained(&f.proplet), "drained");
	CHECK(fake_state(&f, A) == PP_INTERRUPTED && error_has(A, "the proplet was stopped"), "told");
}

/* More tasks than one message takes: the list goes up as a blob. */
static void many_tasks(void)
{
	size_t len = 1;

	up();
	f.config.max_payload = 560;
	CHECK(fake_boot(&f), "boot");
	fake_connect(&f);
	text[0] = '[';
	for (unsigned i = 0; i < 4; i++) {
		char uid[64];

		snprintf(uid, sizeof uid, "00000000-0000-0000-0000-0000000000%02x", 0x10 + i);
		fake_entry(one, sizeof one, uid, 0x10 + i, "once", module, 639, 0x10 + i, "");
		len += (size_t)snprintf(text + len, sizeof text - len, "%s%s", i > 0 ? "," : "", one);
	}
	snprintf(text + len, sizeof text - len, "]");
	fake_desire(&f, 1, text);
	fake_run(&f, 3000);
	CHECK(pp_has((struct pp_view){f.report, f.report_len}, PP_REPORT_BODY), "a body");
	CHECK(f.uploaded.have == f.uploaded.total && f.uploaded.total > 700, "it came up: %u of %u",
	      f.uploaded.have, f.uploaded.total);
	{
		struct pp_out out;
		static uint8_t cbor[8192];

		pp_out_init(&out, cbor, sizeof cbor);
		CHECK(pp_read_list(&pp_kind_inventory, f.uploaded.data, f.uploaded.total, &out) ==
			      PP_TAKEN,
		      "and is an inventory");
		CHECK(pp_count((struct pp_view){cbor, out.len}) == 4, "of four");
	}
}

/* A document whose list is a blob. */
static void a_large_document(void)
{
	struct fake_blob *blob;
	struct proplet_hash state;
	char inst[33], digest[65];

	up();
	blob = &f.served[6];
	blob->used = true;
	/* The canonical spelling, so that the digest of the blob is that of the list. */
	snprintf((char *)blob->data, sizeof blob->data,
		 "[{\"cause\":\"once\",\"digest\":\"sha256:%064x\",\"entrypoint\":\"_start\",\"mode\":"
		 "\"once\",\"module\":{\"digest\":\"%s\",\"size\":639},\"ref\":\"Task/default/t\",\"run\":"
		 "\"%032x\",\"uid\":\"" A "\"}]",
		 1, module, 1);
	blob->total = blob->have = (uint32_t)strlen((char *)blob->data);
	crypto_hash_begin(NULL, &state);
	crypto_hash_add(NULL, &state, blob->data, blob->total);
	crypto_hash_end(NULL, &state, blob->digest);
	for (unsigned i = 0; i < 32; i++) {
		snprintf(digest + 2 * i, 3, "%02x", blob->digest[i]);
	}
	for (unsigned i = 0; i < 16; i++) {
		snprintf(inst + 2 * i, 3, "%02x", f.proplet.agent.inst[i]);
	}
	snprintf(text, sizeof text,
		 "{\"v\":1,\"to\":\"p1\",\"inst\":\"%s\",\"fence\":100,\"gen\":5,\"iat\":1,\"digest\":"
		 "\"sha256:%s\",\"body\":{\"digest\":\"sha256:%s\",\"size\":%u}}",
		 inst, digest, digest, blob->total);
	fake_send(&f, PP_TOPIC_DESIRED, PP_FOR_DESIRED, text);
	fake_run(&f, 800);
	CHECK(fake_observed_gen(&f) == 5, "accepted: %d", (int)fake_observed_gen(&f));
	CHECK(fake_state(&f, A) == PP_SUCCEEDED, "state %d", fake_state(&f, A));
}

static const char *some_tasks(unsigned gen, unsigned count)
{
	size_t len = 1;

	text[0] = '[';
	for (unsigned i = 0; i < count; i++) {
		char uid[64];

		snprintf(uid, sizeof uid, "00000000-0000-0000-0000-0000000000%u%u", gen, i);
		fake_entry(one, sizeof one, uid, gen * 16 + i, "once", module, 639, gen * 16 + i, "");
		len += (size_t)snprintf(text + len, sizeof text - len, "%s%s", i > 0 ? "," : "", one);
	}
	snprintf(text + len, sizeof text - len, "]");
	return text;
}

/* Eight places, four slots: a list of four always has room, whatever ran before; five never. */
static void room_for_the_next_list(void)
{
	up();
	f.life = 1000000;
	for (unsigned gen = 1; gen <= 3; gen++) {
		fake_desire(&f, gen, some_tasks(gen, 4));
		fake_run(&f, 200);
		CHECK(fake_observed_gen(&f) == (int64_t)gen, "list %u is held", gen);
	}
	CHECK(fake_state(&f, "00000000-0000-0000-0000-000000000033") == PP_RUNNING, "the newest run");
	CHECK(f.started == 12, "%u started", f.started);
	fake_desire(&f, 4, some_tasks(4, 5));
	fake_run(&f, 200);
	CHECK(fake_observed_gen(&f) == 3 &&
		      strcmp(f.proplet.agent.report.refused.reason, "too_many") == 0,
	      "five are refused in a word");
	fake_desire(&f, 5, "[]");
	fake_run(&f, 1000);
	CHECK(fake_observed_gen(&f) == 5 && f.proplet.agent.run_count == 0, "an empty list always fits");
}

/* What is not for us, too large, or rubbish changes nothing. */
static void strangers(void)
{
	static uint8_t rubbish[2048];

	up();
	fake_desire(&f, 1, list1(daemon_entry(2, ",\"restart\":\"Always\"")));
	fake_run(&f, 300);
	proplet_heard(&f.proplet, "m/d/c/c/control/proplet/p2/desired", rubbish, 10);
	proplet_heard(&f.proplet, "m/x/c/c/control/proplet/p1/desired", rubbish, 10);
	proplet_heard(&f.proplet, "m/d/c/c/control/proplet/p1/desired", rubbish, sizeof rubbish);
	proplet_heard(&f.proplet, "m/d/c/c/control/proplet/p1/op", (const uint8_t *)"P1", 2);
	proplet_heard(&f.proplet, "m/d/c/c/control/proplet/p1/report", rubbish, 5);
	proplet_oversize(&f.proplet, "m/d/c/c/control/proplet/p1/desired", 100000);
	fake_run(&f, 300);
	CHECK(fake_state(&f, D) == PP_RUNNING && fake_starts(&f, D) == 1, "goes on");
	CHECK(f.proplet.agent.count_count >= 3, "and counts: %u", f.proplet.agent.count_count);
}

/* Flash that rots: a document that is none is asked for again, a run's record that is none is not run. */
static void rotten_records(void)
{
	up();
	fake_desire(&f, 1, list1(task("")));
	fake_run(&f, 500);
	for (unsigned i = 0; i < FAKE_RECORDS; i++) {
		if (f.records[i].used && f.records[i].id == PROPLET_REC_DESIRED) {
			f.records[i].data[3] ^= 0xFF;
		}
	}
	CHECK(fake_boot(&f), "boot");
	CHECK(f.proplet.agent.run_count == 0 && f.proplet.agent.observed.gen == 1, "nothing is listed");
	fake_connect(&f);
	fake_run(&f, 500);
	CHECK(fake_state(&f, A) == PP_SUCCEEDED && fake_starts(&f, A) == 1, "taken again, not run again");
}

/* A document signed by a key that trust took back outbids nobody, over a reboot too. */
static void a_stolen_key(void)
{
	up();
	fake_desire(&f, 9000, list1(task("")));
	fake_run(&f, 500);
	CHECK(fake_observed_gen(&f) == 9000, "the thief's is held");
	fake_desire(&f, 2, "[]");
	fake_run(&f, 100);
	CHECK(fake_observed_gen(&f) == 9000, "an older one is stale");
	/* Trust 2 names another manager; the old key's word is worth nothing any more. */
	fake_trust_second(&f, 2);
	fake_run(&f, 50);
	CHECK(f.proplet.agent.disowned, "disowned");
	CHECK(fake_boot(&f) && f.proplet.agent.disowned, "over a reboot");
	fake_connect(&f);
	fake_run(&f, 50);
	fake_desire(&f, 3, "[]");
	fake_run(&f, 100);
	CHECK(fake_observed_gen(&f) == 3 && !f.proplet.agent.disowned, "the successor is heard");
}

/* A fleet that wants release lists: nothing starts where none can be kept. */
static void release_lists(void)
{
	up();
	fake_trust_releasing(&f, 2);
	fake_run(&f, 50);
	fake_desire(&f, 1, list1(task("")));
	fake_run(&f, 500);
	CHECK(fake_starts(&f, A) == 0 && error_has(A, "NotReleased"), "told why");
}

/* With room for one: what it names starts, also after a reboot that has heard nothing yet. */
static void released(void)
{
	static uint8_t lists[4096];
	char body[256], hex[65];

	up();
	f.memory.releases = lists;
	f.memory.releases_size = sizeof lists;
	CHECK(fake_boot(&f), "boot");
	fake_connect(&f);
	fake_trust_releasing(&f, 2);
	fake_run(&f, 50);
	fake_desire(&f, 1, list1(task("")));
	fake_run(&f, 500);
	CHECK(fake_starts(&f, A) == 0 && error_has(A, "no release list has come"), "none yet");
	for (unsigned i = 0; i < 32; i++) {
		snprintf(hex + 2 * i, 3, "%02x", f.served[0].digest[i]);
	}
	snprintf(body, sizeof body, "{\"v\":1,\"version\":7,\"modules\":[\"sha256:%s\"]}", hex);
	fake_send(&f, PP_TOPIC_RELEASES, PP_FOR_RELEASES, body);
	fake_run(&f, 2000);
	CHECK(fake_starts(&f, A) == 1, "released");
	memset(lists, 0xA5, sizeof lists);
	CHECK(fake_boot(&f) && f.proplet.agent.releases.counts, "the list is kept");
	CHECK(f.proplet.agent.releases.held == 1, "and what it named is held");
	fake_connect(&f);
	snprintf(body, sizeof body, "{\"v\":1,\"version\":6,\"modules\":[]}");
	fake_send(&f, PP_TOPIC_RELEASES, PP_FOR_RELEASES, body);
	fake_run(&f, 100);
	CHECK(f.proplet.agent.releases.held == 1, "an older one is stale");
}

int main(void)
{
	a_stolen_key();
	release_lists();
	released();
	a_task_runs();
	a_reboot();
	a_blob_resumes();
	rotten_bytes();
	eviction();
	broken_storage();
	a_start_that_fails();
	unfit_modules();
	boxes();
	for (unsigned p256 = 0; p256 < 2; p256++) {
		secrets(p256 == 1);
		moved_secrets(p256 == 1);
	}
	operations();
	the_ring_stays();
	a_report_that_does_not_leave();
	time_steps_back();
	draining();
	many_tasks();
	a_large_document();
	room_for_the_next_list();
	strangers();
	rotten_records();
	return harness_end("device");
}
