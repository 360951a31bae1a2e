/*
 * What is known of the bytes that runs need: on disk, asked for, or given up for now. The twin of
 * proplet/modules.py.
 */
#include "inside.h"

#define FETCH_AGAIN INT64_C(60000)
#define FETCH_CAP INT64_C(3600000)
#define MODELS 2

static struct pp_blob *find(const struct pp_agent *a, const uint8_t *digest)
{
	for (size_t i = 0; i < a->blob_count; i++) {
		if (memcmp(a->memory.blobs[i].digest, digest, 32) == 0) {
			return &a->memory.blobs[i];
		}
	}
	return NULL;
}

static void forget(struct pp_agent *a, size_t place)
{
	struct pp_blob *const blobs = a->memory.blobs;

	pp_note_set(a, &blobs[place].failed, (struct proplet_text){"", 0});
	a->blob_count--;
	memmove(&blobs[place], &blobs[place + 1], (a->blob_count - place) * sizeof *blobs);
}

static struct pp_blob *add(struct pp_agent *a, const uint8_t *digest)
{
	struct pp_blob *blob;

	for (size_t i = 0; i < a->blob_count && a->blob_count == a->memory.blob_count;) {
		if (pp_modules_need(a, a->memory.blobs[i].digest)) {
			i++;
		} else {
			forget(a, i);
		}
	}
	if (a->blob_count == a->memory.blob_count) {
		return NULL;
	}
	blob = &a->memory.blobs[a->blob_count++];
	memset(blob, 0, sizeof *blob);
	memcpy(blob->digest, digest, 32);
	blob->due = -1;
	return blob;
}

static struct pp_blob *ask(struct pp_agent *a, const uint8_t *digest, uint64_t size,
			   struct pp_now now)
{
	struct pp_blob *blob = find(a, digest);

	if (blob != NULL && !(blob->due >= 0 && now.mono >= blob->due)) {
		return blob;
	}
	if (blob == NULL) {
		blob = add(a, digest);
		if (blob == NULL) {
			return NULL;
		}
	}
	blob->due = -1;
	blob->given_up = false;
	pp_emit_digest(a, PP_DO_FETCH, digest, size);
	return blob;
}

struct pp_blob *pp_modules_want(struct pp_agent *a, const struct pp_plan *plan, struct pp_now now,
				bool *present)
{
	struct pp_blob *const module = ask(a, plan->module, plan->module_size, now);
	struct pp_blob *first = module == NULL || module->present ? NULL : module;

	*present = module != NULL && module->present;
	for (unsigned i = 0; i < plan->inputs; i++) {
		struct pp_blob *const input = ask(a, plan->input[i], plan->input_size[i], now);

		if (input == NULL || !input->present) {
			*present = false;
			first = first == NULL ? input : first;
		}
	}
	return first;
}

void pp_modules_started(struct pp_agent *a, const struct pp_plan *plan)
{
	if (!plan->has_model) {
		return;
	}
	if (a->model_count > 0 && memcmp(a->models[a->model_count - 1], plan->input[0], 32) == 0) {
		return;
	}
	if (a->model_count == MODELS) {
		memcpy(a->models[0], a->models[1], 32);
		a->model_count--;
	}
	memcpy(a->models[a->model_count++], plan->input[0], 32);
}

void pp_modules_fetched(struct pp_agent *a, const uint8_t *digest)
{
	struct pp_blob *blob = find(a, digest);

	if (blob == NULL) {
		blob = add(a, digest);
		if (blob == NULL) {
			return;
		}
	}
	pp_note_set(a, &blob->failed, (struct proplet_text){"", 0});
	blob->present = true;
	blob->given_up = false;
	blob->tries = 0;
	blob->due = -1;
}

void pp_modules_gave_up(struct pp_agent *a, const uint8_t *digest, struct proplet_text words,
			struct pp_now now)
{
	struct pp_blob *blob = find(a, digest);
	struct pp_words why;

	if (blob == NULL) {
		blob = add(a, digest);
		if (blob == NULL) {
			return;
		}
	}
	pp_words_init(&why);
	pp_words_add(&why, "ArtifactFetchFailed: ");
	pp_words_text(&why, words);
	pp_note_set(a, &blob->failed, pp_words_all(&why));
	blob->tries++;
	blob->present = false;
	blob->given_up = true;
	blob->due = now.mono + pp_min(FETCH_CAP, FETCH_AGAIN << (blob->tries > 7 ? 7 : blob->tries - 1));
}

void pp_modules_retry(struct pp_agent *a)
{
	for (size_t i = a->blob_count; i-- > 0;) {
		if (a->memory.blobs[i].failed.len > 0 || a->memory.blobs[i].given_up) {
			forget(a, i);
		}
	}
}

static bool plan_needs(const struct pp_plan *plan, const uint8_t *digest)
{
	bool found = memcmp(plan->module, digest, 32) == 0;

	for (unsigned i = 0; i < plan->inputs; i++) {
		found = found || memcmp(plan->input[i], digest, 32) == 0;
	}
	return found;
}

bool pp_modules_need(const struct pp_agent *a, const uint8_t *digest)
{
	for (size_t i = 0; i < a->run_count; i++) {
		const struct pp_run *const run = &a->memory.runs[i];

		if (!run->gone && run->phase != PP_PHASE_ENDED && plan_needs(&run->plan, digest)) {
			return true;
		}
	}
	for (unsigned i = 0; i < a->model_count; i++) {
		if (memcmp(a->models[i], digest, 32) == 0) {
			return true;
		}
	}
	return false;
}

/* The first eight bytes of a digest; 0 where the same digest was counted already. */
static uint64_t part(const struct pp_agent *a, size_t runs, const uint8_t *digest)
{
	uint64_t word = 1;

	for (size_t i = 0; i < runs; i++) {
		const struct pp_run *const run = &a->memory.runs[i];

		if (!run->gone && run->phase != PP_PHASE_ENDED && plan_needs(&run->plan, digest)) {
			return 0;
		}
	}
	for (unsigned i = 0; i < 8; i++) {
		word = word << 8 | digest[i];
	}
	return word | 1;
}

/* A number for the set of what is needed. That two sets share one costs no more than a late word
 * to whoever evicts, and he asks pp_agent_uses anyway. */
static uint64_t fingerprint(const struct pp_agent *a)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < a->run_count; i++) {
		const struct pp_run *const run = &a->memory.runs[i];

		if (run->gone || run->phase == PP_PHASE_ENDED) {
			continue;
		}
		sum += part(a, i, run->plan.module);
		for (unsigned j = 0; j < run->plan.inputs; j++) {
			sum += part(a, i, run->plan.input[j]);
		}
	}
	for (unsigned i = 0; i < a->model_count; i++) {
		sum += part(a, a->run_count, a->models[i]);
	}
	return sum;
}

void pp_modules_settle(struct pp_agent *a)
{
	const uint64_t now = fingerprint(a);
	struct pp_effect effect = {.what = PP_DO_IN_USE};

	if (now == a->in_use) {
		return;
	}
	a->in_use = now;
	for (size_t i = a->blob_count; i-- > 0;) {
		if (!pp_modules_need(a, a->memory.blobs[i].digest)) {
			forget(a, i);
		}
	}
	(void)pp_emit(a, &effect);
}

int64_t pp_modules_due(const struct pp_agent *a)
{
	int64_t due = PP_NEVER;

	for (size_t i = 0; i < a->blob_count; i++) {
		if (a->memory.blobs[i].due >= 0) {
			due = pp_min(due, a->memory.blobs[i].due);
		}
	}
	return due;
}
