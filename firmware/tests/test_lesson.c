/* A step of a round without an engine: what is declined, what imports answer, what is told. */
#include "fake_lesson.h"

static struct class c;

#define DATA "[{\"name\":\"data\",\"path\":\"/data\",\"access\":\"ReadOnly\"}]"
#define GUEST ",\"guest\":\"Imports\""
#define ARGS(...) ((const uint64_t[]){__VA_ARGS__})

static const char manifest[] =
	"{\"tensors\":[{\"aggregate\":\"mean\",\"dtype\":\"F32\",\"name\":\"w\",\"shape\":[3],"
	"\"trainable\":true}],\"v\":1}";

static void put_float(uint8_t *at, float value)
{
	memcpy(at, &value, sizeof value);
}

/* A model of three parameters 1, 2, 3 whose header carries the manifest; a reference to it. */
static const char *a_model(char ref[128], size_t cut)
{
	static uint8_t file[512];
	char header[400], *to = header;
	size_t size;

	to += sprintf(to, "{\"__metadata__\":{\"propeller.layout\":\"");
	for (const char *at = manifest; *at != 0; at++) {
		to += sprintf(to, *at == '"' ? "\\\"" : "%c", *at);
	}
	to += sprintf(to, "\"},\"w\":{\"data_offsets\":[0,12],\"dtype\":\"F32\",\"shape\":[3]}}");
	size = (size_t)(to - header);
	memset(file, 0, sizeof file);
	file[0] = (uint8_t)size;
	file[1] = (uint8_t)(size >> 8);
	memcpy(file + 8, header, size);
	for (unsigned i = 0; i < 3; i++) {
		put_float(file + 8 + size + 4 * i, (float)(i + 1));
	}
	return class_blob(&c, file, 8 + size + 12 - cut, ref);
}

static void is_declined(const char *format, const char *mounts, const char *more, const char *words)
{
	CHECK(class_entry(&c, "train", format, mounts, more), "no entry: %s", more);
	CHECK(strncmp(class_check(&c), words, strlen(words)) == 0 && (words[0] != 0) == (c.words[0] != 0),
	      "%s: said '%s'", more, c.words);
}

static void test_declines(void)
{
	char ref[128], more[512];

	class_init(&c);
	is_declined("q8-delta", "[]", GUEST, "");
	is_declined("topk-f32", "[]", GUEST, "this proplet makes no updates in topk-f32; it makes f32");
	is_declined("json-f64", "[]", GUEST, "this proplet makes no updates in json-f64");
	is_declined("q8-delta", "[]", "", "this proplet trains modules that import propeller_fl");
	is_declined("q8-delta", "[]", ",\"guest\":\"File\"", "this proplet trains modules");
	is_declined("q8-delta", "[]", GUEST ",\"clip\":\"1\"", "this proplet neither clips");
	is_declined("q8-delta", "[]", GUEST ",\"noise\":\"1\"", "this proplet neither clips");
	is_declined("secagg-u32", "[]",
		    GUEST ",\"secure\":{\"range\":\"1\",\"bits\":20,\"most\":1,\"members\":3}",
		    "this proplet takes no part in secure aggregation");
	is_declined("q8-delta", "[{\"name\":\"data\",\"path\":\"/etc\",\"access\":\"ReadOnly\"}]", GUEST,
		    "a module that trains sees /data and nothing else, not /etc");
	is_declined("q8-delta",
		    "[{\"name\":\"data\",\"path\":\"/data\",\"access\":\"ReadOnly\"},"
		    "{\"name\":\"more\",\"path\":\"/data/\",\"access\":\"ReadOnly\"}]",
		    GUEST, "a module that trains has one /data");
	snprintf(more, sizeof more, GUEST ",\"control\":%s", class_blob(&c, "c", 1, ref));
	is_declined("q8-delta", "[]", more, "this proplet keeps no control variates");
	snprintf(more, sizeof more, GUEST ",\"model\":%s", a_model(ref, 0));
	is_declined("q8-delta", DATA, more, "");
	c.school.room = 4000;
	is_declined("q8-delta", DATA, more, "its model and its update need ");
	c.school.room = 1 << 20;
	snprintf(more, sizeof more, GUEST ",\"model\":%s", a_model(ref, 3));
	is_declined("q8-delta", DATA, more, "its model is no safetensors file");
	snprintf(more, sizeof more, GUEST ",\"model\":{\"digest\":\"sha256:%064d\",\"size\":99}", 5);
	is_declined("q8-delta", DATA, more, "its model cannot be read from storage");
	snprintf(more, sizeof more, GUEST ",\"layout\":%s", class_blob(&c, "{}", 2, ref));
	is_declined("q8-delta", DATA, more, "the layout of its model is not spelled");
	CHECK(class_entry(&c, "keys", "secagg-u32", "[]", GUEST), "entry");
	CHECK(strstr(class_check(&c), "secure aggregation") != NULL, "%s", c.words);
}

/* Begins a step of a model of three parameters; records of two features and a label. */
static void begin(const char *step, const char *format)
{
	char ref[128], more[700];

	class_init(&c);
	c.train = (struct proplet_shape){2, 1, 5};
	c.test = (struct proplet_shape){2, 1, 2};
	snprintf(more, sizeof more,
		 GUEST ",\"samples\":4,\"params\":{\"rate\":\"0.5\",\"epochs\":\"-3\",\"name\":\"x\","
		       "\"far\":\"9223372036854775808\",\"round\":\"77\"},\"model\":%s",
		 a_model(ref, 0));
	CHECK(class_entry(&c, step, format, DATA, more), "entry");
	CHECK(class_check(&c)[0] == 0, "%s", c.words);
	CHECK(class_begin(&c), "%s", c.words);
}

static void is_refused(const char *name, const uint64_t *args, const char *words)
{
	const char *const said = class_call(&c, name, args);

	CHECK(said != NULL && strcmp(said, words) == 0, "%s: %s", name, said == NULL ? "done" : said);
	CHECK(said == NULL || c.job.why == PROPLET_END_REFUSED, "%s", name);
}

static uint64_t answers(const char *name, const uint64_t *args)
{
	const char *const said = class_call(&c, name, args);

	CHECK(said == NULL, "%s: %s", name, said);
	return c.result;
}

static uint64_t named(const char *name, const char *call, uint64_t missing)
{
	memcpy(c.memory + 100, name, strlen(name));
	return answers(call, ARGS(100, strlen(name), missing));
}

static void test_model_and_data(void)
{
	float value;

	begin("train", "q8-delta");
	CHECK(answers("model_len", ARGS(0)) == 12, "length");
	(void)answers("model_read", ARGS(4, 200, 8));
	memcpy(&value, c.memory + 204, 4);
	CHECK(value == 3.0f, "%f", (double)value);
	(void)answers("correction_read", ARGS(0, 200, 12));
	CHECK(c.memory[203] == 0, "a correction");
	is_refused("model_read", ARGS(4, 200, 9),
		   "rejected: model_read of 9 bytes at 4, the model has 12");
	is_refused("model_read", ARGS(0xFFFFFFFF, 200, 0xFFFFFFFF),
		   "rejected: model_read of 4294967295 bytes at 4294967295, the model has 12");
	is_refused("model_read", ARGS(0, CLASS_MEMORY - 11, 12),
		   "rejected: an address outside of its memory");
	CHECK(answers("data_next", ARGS(0, 30)) == 24, "two records");
	CHECK(c.memory[0] == 0 && c.memory[23] == 23, "their bytes");
	CHECK(answers("data_next", ARGS(0, 100)) == 36, "the other three");
	CHECK(c.memory[0] == 24, "go on");
	CHECK(answers("data_next", ARGS(0, 100)) == 0, "the end");
	CHECK(answers("data_next", ARGS(0, 12)) == 12 && c.memory[0] == 0, "from the start again");
	is_refused("data_next", ARGS(0, 11), "rejected: data_next: room for 11 bytes, a record has 12");
	is_refused("data_next", ARGS(CLASS_MEMORY - 3, 12),
		   "rejected: an address outside of its memory");
	c.open_error = PROPLET_BROKEN;
	is_refused("data_next", ARGS(0, 12), "its data cannot be read");
	class_end(&c, PROPLET_END_TRAPPED, "trapped: 0x1234 is a sample");
	CHECK(c.ended.error_len == 18 && memcmp(c.ended.error, "failed: it trapped", 18) == 0, "%s",
	      c.ended.error);
	CHECK(c.taken == 0 && c.opened == 0, "%u %u", c.taken, c.opened);
}

static void test_parameters(void)
{
	const double half = 0.5, other = 7.25;
	uint64_t bits, missing;

	begin("train", "q8-delta");
	memcpy(&bits, &half, 8);
	memcpy(&missing, &other, 8);
	CHECK(named("rate", "param_f64", missing) == bits, "rate");
	CHECK(named("none", "param_f64", missing) == missing, "none");
	CHECK((int64_t)named("epochs", "param_i64", 1) == -3, "epochs");
	CHECK((int64_t)named("none", "param_i64", (uint64_t)-9) == -9, "none");
	CHECK(named("round", "param_i64", 0) == 3, "the host's own word");
	CHECK(named("data.records", "param_i64", 0) == 5, "records");
	CHECK(named("data.features", "param_i64", 0) == 2, "features");
	memcpy(c.memory + 100, "name", 4);
	is_refused("param_i64", ARGS(100, 4, 0), "rejected: a parameter is 'x', not whole");
	is_refused("param_f64", ARGS(100, 4, 0), "rejected: a parameter is 'x', not a number");
	memcpy(c.memory + 100, "far", 3);
	is_refused("param_i64", ARGS(100, 3, 0), "rejected: a parameter that does not fit 64 bits");
	memcpy(c.memory + 100, "rate", 4);
	is_refused("param_i64", ARGS(100, 4, 0), "rejected: a parameter is '0.5', not whole");
	is_refused("param_i64", ARGS(0, 129, 0), "rejected: a parameter's name has at most 128 bytes");
	is_refused("param_i64", ARGS(CLASS_MEMORY, 4, 0), "rejected: an address outside of its memory");
	class_end(&c, PROPLET_END_REFUSED, "rejected: something");
	CHECK(!c.ended.ok && !c.ended.has_exit, "refused");
	CHECK(c.taken == 0 && c.opened == 0, "given back");
}

static uint64_t number_at(const uint8_t *at)
{
	uint64_t value = 0;

	for (unsigned i = 8; i-- > 0;) {
		value = value << 8 | at[i];
	}
	return value;
}

static void test_a_machine_of_its_own(void)
{
	uint8_t first[8];

	begin("train", "q8-delta");
	CHECK(answers("clock_time_get", ARGS(0, 0, 64)) == 0 && number_at(c.memory + 64) == 0, "0");
	(void)answers("clock_time_get", ARGS(1, 0, 64));
	CHECK(number_at(c.memory + 64) == 1000000, "a millisecond a question");
	CHECK(answers("clock_time_get", ARGS(4, 0, 64)) == 28, "no such clock");
	(void)answers("clock_res_get", ARGS(0, 64));
	CHECK(number_at(c.memory + 64) == 1000000, "resolution");
	(void)answers("random_get", ARGS(64, 8));
	memcpy(first, c.memory + 64, 8);
	(void)answers("random_get", ARGS(64, 8));
	CHECK(memcmp(first, c.memory + 64, 8) != 0, "other bytes");
	CHECK(answers("random_get", ARGS(64, (1 << 20) + 1)) == 28, "too many");
	(void)answers("rand_u64", ARGS(0));
	CHECK(c.result != number_at(first), "a stream of its own");

	/* two timers: 5 ms from now, and at 1 s */
	memset(c.memory, 0, 512);
	c.memory[0] = 11;
	c.memory[24] = 5000000 & 0xFF;
	c.memory[25] = 5000000 >> 8 & 0xFF;
	c.memory[26] = 5000000 >> 16;
	c.memory[48] = 12;
	c.memory[48 + 24 + 3] = 59; /* 989855744 ns */
	c.memory[48 + 40] = 1;
	CHECK(answers("poll_oneoff", ARGS(0, 256, 2, 200)) == 0, "poll");
	CHECK(c.memory[200] == 1 && c.memory[256] == 11, "the first timer");
	(void)answers("clock_time_get", ARGS(0, 0, 64));
	CHECK(number_at(c.memory + 64) == 2000000 + 5000000, "%llu",
	      (unsigned long long)number_at(c.memory + 64));
	c.memory[48 + 8] = 2; /* a file is ready at once */
	CHECK(answers("poll_oneoff", ARGS(0, 256, 2, 200)) == 0, "poll");
	CHECK(c.memory[200] == 1 && c.memory[256] == 12 && c.memory[256 + 10] == 2, "the file");
	CHECK(answers("poll_oneoff", ARGS(0, 256, 0, 200)) == 28, "no subscription");
	is_refused("poll_oneoff", ARGS(CLASS_MEMORY - 47, 256, 1, 200),
		   "rejected: an address outside of its memory");
	class_end(&c, PROPLET_END_TIMEOUT, "ran longer than its limit of 1m");
	CHECK(memcmp(c.ended.error, "ran longer", 10) == 0, "%s", c.ended.error);
}

static void test_an_update(void)
{
	const double loss = 0.25;
	uint64_t bits;
	const uint8_t *made;
	uint32_t size = 0;

	begin("train", "f32-delta");
	for (unsigned i = 0; i < 3; i++) {
		put_float(c.memory + 300 + 4 * i, (float)(i + 1) * 1.5f);
	}
	memcpy(&bits, &loss, 8);
	memcpy(c.memory + 100, "loss", 4);
	(void)answers("steps", ARGS(0xFFFFFFFF));
	(void)answers("submit", ARGS(2, 300, 12, 10));
	(void)answers("metric", ARGS(100, 4, bits));
	is_refused("submit", ARGS(2, 300, 12, 10), "rejected: submit was called twice");
	class_end(&c, PROPLET_END_RETURNED, "0");
	made = class_kept(&c, &size);
	CHECK(c.ended.ok && made != NULL, "%s", c.ended.error);
	if (made != NULL) {
		float delta;

		CHECK(memcmp(made, "PFU1\1\1\0\1", 8) == 0, "head");
		CHECK(made[24] == 3 && made[28] == 2 && made[32] == 0xFF, "round, attempt, steps");
		CHECK(made[40] == 4, "as many samples as are believed");
		CHECK(made[48] == 3 && made[56] == 12, "elements and bytes");
		memcpy(&delta, made + size - 64 - 4, 4);
		CHECK(delta == 1.5f, "%f", (double)delta);
		CHECK(made[size - 1] == 23 + 32 + 16, "signed: its label, its name and the nonce");
	}
	CHECK(c.taken == 0 && c.opened == 0, "given back");

	begin("train", "q4-delta");
	(void)answers("submit", ARGS(1, 300, 12, 1));
	c.full = true;
	class_end(&c, PROPLET_END_RETURNED, "");
	CHECK(!c.ended.ok && strstr(c.ended.error, "no storage left") != NULL, "%s", c.ended.error);
}

static void test_what_is_no_update(void)
{
	static const struct {
		uint64_t args[4];
		const char *words;
	} wrong[] = {
		{{2, 300, 11, 1}, "rejected: 11 bytes, expected 12"},
		{{2, 300, 12, 0}, "rejected: num_samples must be at least 1"},
		{{2, 300, 12, (uint64_t)-1}, "rejected: num_samples must be at least 1"},
		{{2, 300, 12, UINT64_C(1) << 54}, "rejected: num_samples must be at least 1"},
		{{9, 300, 12, 1}, "rejected: this proplet takes encodings 1, 2, 5 and 6 from a module"},
		{{2, CLASS_MEMORY - 11, 12, 1}, "rejected: an address outside of its memory"},
		{{2, 3000, 12, 1}, "rejected: not-finite: a NaN or an infinity"},
		{{5, 3000, 7, 1}, "rejected: malformed: a scale that is negative or not finite"},
	};

	for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		begin("train", "q8-delta");
		memset(c.memory + 3000, 0xFF, 12);
		is_refused("submit", wrong[i].args, wrong[i].words);
		class_end(&c, PROPLET_END_REFUSED, c.words);
		CHECK(!c.ended.ok && c.taken == 0, "%u", c.taken);
	}
	begin("train", "q8-delta");
	class_end(&c, PROPLET_END_RETURNED, "");
	CHECK(strstr(c.ended.error, "train() came back without submit") != NULL, "%s", c.ended.error);
	begin("train", "q8-delta");
	class_end(&c, PROPLET_END_RETURNED, "75");
	CHECK(c.ended.exit == 75 && strstr(c.ended.error, "declined: ") == c.ended.error, "%s",
	      c.ended.error);
	begin("train", "q8-delta");
	class_end(&c, PROPLET_END_RETURNED, "1234");
	CHECK(c.ended.exit == 1 && strstr(c.ended.error, "failed: by its exit") == c.ended.error,
	      "the status stays here");
	begin("train", "q8-delta");
	class_end(&c, PROPLET_END_OUTPUT, "");
	CHECK(strstr(c.ended.error, "rejected: wrote more") == c.ended.error, "%s", c.ended.error);
}

/* Without a model or a layout the first update decides how many parameters there are. */
static void test_the_first_round(void)
{
	uint32_t size = 0;
	const uint8_t *made;

	class_init(&c);
	CHECK(class_entry(&c, "train", "f32-delta", "[]", GUEST), "entry");
	CHECK(class_check(&c)[0] == 0 && class_begin(&c), "%s", c.words);
	CHECK(answers("model_len", ARGS(0)) == 0, "no model");
	CHECK(answers("data_next", ARGS(0, 100)) == 0, "no data");
	(void)answers("submit", ARGS(2, 0, 20, 1));
	class_end(&c, PROPLET_END_RETURNED, "");
	made = class_kept(&c, &size);
	CHECK(made != NULL && made[48] == 5 && made[64] == 0 && made[96] == 0, "five parameters");
	CHECK(class_begin(&c), "%s", c.words);
	is_refused("submit", ARGS(5, 0, 20, 1), "rejected: q8-delta needs a model or a layout to start from");
	class_end(&c, PROPLET_END_REFUSED, c.words);
	CHECK(class_begin(&c), "%s", c.words);
	is_refused("submit", ARGS(1, 0, 21, 1), "rejected: 21 bytes, not a list of f32");
	class_end(&c, PROPLET_END_REFUSED, c.words);
	c.job.lesson = NULL;
	is_refused("rand_u64", ARGS(0), "needs propeller_fl, which only a FederatedTask offers");
}

static void test_an_evaluation(void)
{
	const double accuracy = 0.5;
	uint32_t size = 0;
	uint64_t bits;
	char name[65];

	memcpy(&bits, &accuracy, 8);
	begin("evaluate", "q8-delta");
	CHECK(named("data.records", "param_i64", 0) == 2, "the tests");
	class_end(&c, PROPLET_END_RETURNED, "");
	CHECK(strstr(c.ended.error, "an evaluation without a metric") != NULL, "%s", c.ended.error);
	begin("evaluate", "q8-delta");
	memcpy(c.memory, "accuracy", 8);
	(void)answers("metric", ARGS(0, 8, bits));
	class_end(&c, PROPLET_END_RETURNED, "");
	CHECK(c.ended.ok && c.ended.has_result && c.ended.result_len == 42 &&
		      memcmp(c.ended.result, "{\"metrics\":{\"accuracy\":\"0.5\"},\"samples\":2}", 42) == 0,
	      "%d %s", c.ended.result_len, c.ended.result);
	begin("evaluate", "q8-delta");
	is_refused("submit", ARGS(2, 0, 4, 9),
		   "rejected: an evaluation submits no model, only its samples");
	class_end(&c, PROPLET_END_REFUSED, c.words);
	begin("evaluate", "q8-delta");
	(void)answers("submit", ARGS(2, 0, 0, 9));
	for (unsigned i = 0; i < PF_METRICS; i++) { /* more than a report holds */
		snprintf(name, sizeof name, "%060u", i);
		memcpy(c.memory, name, 60);
		(void)answers("metric", ARGS(0, 60, bits));
	}
	class_end(&c, PROPLET_END_RETURNED, "");
	CHECK(c.ended.ok && c.ended.has_blob && class_kept(&c, &size) != NULL, "%s", c.ended.error);
	CHECK(size > 1000 && c.taken == 0, "%u", size);
}

int main(void)
{
	test_declines();
	test_model_and_data();
	test_parameters();
	test_a_machine_of_its_own();
	test_an_update();
	test_what_is_no_update();
	test_the_first_round();
	test_an_evaluation();
	return harness_end("lessons");
}
