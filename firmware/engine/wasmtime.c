/*
 * Guests by wasmtime: its C library, loaded at run time from PyPI's `wasmtime`. For the posix port.
 *
 * Two engines, one counts fuel. Each guest has a store of its own. Epochs move ten times a second
 * or when somebody wants an end; at each, every guest looks whether it is meant.
 */
#define _POSIX_C_SOURCE 200809L
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "natives.h"
#include "values.h"
#include "wasmtime_api.h"
#include "endings.h"

struct made;

/* What a native is called with. */
struct link {
	const struct made *made;
	const struct proplet_native *native;
};

struct made {
	struct proplet_runtime runtime;
	struct wasmtime_api api;
	void *library;
	wasm_engine_t *engines[2]; /* [1] counts fuel */
	struct link *links;        /* one a native */
};

/* What one run holds, to be given back in reverse. */
struct run {
	struct made *made;
	struct proplet_job *job;
	wasmtime_module_t *module;
	wasmtime_store_t *store;
	wasmtime_context_t *context;
	wasmtime_linker_t *linker;
	struct wasmtime_instance instance;
};

/* -- words --------------------------------------------------------------------------------- */

static const char *trap_words(uint8_t code)
{
	static const char *const words[] = {
		"stack overflow", "out of bounds memory access", "a misaligned address",
		"out of bounds table access", "call of a null function",
		"indirect call with the wrong type", "integer overflow",
		"integer divide by zero", "a float that is no integer",
		"unreachable was reached"};

	return code < sizeof(words) / sizeof(words[0]) ? words[code] : NULL;
}

/* The last cause of an error chain, or its first line. */
static void first_line(const struct wasm_bytes *message, char *to, size_t size)
{
	const char *from = message->data;
	const char *end = from + message->size;
	const char *line = from;
	size_t length = 0;
	bool caused = false; /* the last cause counts, not the guest's frames before it */

	for (const char *at = from; at < end;) {
		const char *next = memchr(at, '\n', (size_t)(end - at));
		const char *stop = next == NULL ? end : next;
		const char *first = at;

		while (first < stop && *first == ' ') {
			first++;
		}
		if (stop - first == 10 && memcmp(first, "Caused by:", 10) == 0) {
			caused = true;
		} else if (first < stop && (length == 0 || caused)) {
			if (stop - first > 2 && *first >= '0' && *first <= '9' && first[1] == ':') {
				first += 3;
			}
			line = first;
			length = (size_t)(stop - first);
		}
		at = next == NULL ? end : next + 1;
	}
	if (length >= size) {
		length = size - 1;
	}
	memcpy(to, line, length);
	to[length] = '\0';
	while (length > 0 && to[length - 1] == '\0') {
		length--;
	}
}

static void error_words(const struct wasmtime_api *api, wasmtime_error_t *error, char *to,
			size_t size)
{
	struct wasm_bytes message;

	api->wasmtime_error_message(error, &message);
	first_line(&message, to, size);
	api->wasm_byte_vec_delete(&message);
	api->wasmtime_error_delete(error);
}

/* -- natives ------------------------------------------------------------------------------- */

static struct proplet_linear memory_of(const struct wasmtime_api *api, wasmtime_caller_t *caller)
{
	struct wasmtime_extern found;
	struct proplet_linear memory = {NULL, 0};

	if (!api->wasmtime_caller_export_get(caller, "memory", 6, &found)) {
		return memory;
	}
	if (found.kind == WASMTIME_EXTERN_MEMORY) {
		wasmtime_context_t *context = api->wasmtime_caller_context(caller);

		memory.data = api->wasmtime_memory_data(context, &found.of);
		memory.size = api->wasmtime_memory_data_size(context, &found.of);
	}
	api->wasmtime_extern_delete(&found);
	return memory;
}

static uint64_t bits_of(const struct wasmtime_val *value)
{
	uint64_t bits = 0;

	if (value->kind == WASM_I32 || value->kind == WASM_F32) {
		uint32_t narrow;

		memcpy(&narrow, &value->of, sizeof(narrow));
		bits = narrow;
	} else {
		memcpy(&bits, &value->of, sizeof(bits));
	}
	return bits;
}

static void set_bits(struct wasmtime_val *value, uint8_t kind, uint64_t bits)
{
	memset(value, 0, sizeof(*value));
	value->kind = kind;
	memcpy(&value->of, &bits, kind == WASM_I32 || kind == WASM_F32 ? 4 : 8);
}

static uint8_t kind_of(char type)
{
	return type == 'i' ? WASM_I32 : type == 'I' ? WASM_I64 : type == 'f' ? WASM_F32 : WASM_F64;
}

static char letter_of(uint8_t kind)
{
	return kind < 4 ? "iIfF"[kind] : '?';
}

/* `env` is the link; the run is the data of the store. */
static wasm_trap_t *call_native(void *env, wasmtime_caller_t *caller,
				const struct wasmtime_val *args, size_t nargs,
				struct wasmtime_val *results, size_t nresults)
{
	const struct link *link = env;
	const struct proplet_native *native = link->native;
	const struct wasmtime_api *api = &link->made->api;
	struct run *run = api->wasmtime_context_get_data(api->wasmtime_caller_context(caller));
	char words[PROPLET_TEXT_MAX] = "";
	uint64_t slots[12];
	struct proplet_call call = {.job = run->job,
				    .memory = memory_of(api, caller),
				    .args = slots,
				    .words = words};

	for (size_t i = 0; i < nargs && i < sizeof(slots) / sizeof(slots[0]); i++) {
		slots[i] = bits_of(&args[i]);
	}
	if (native->call(&call) == PROPLET_LEAVE) {
		return api->wasmtime_trap_new(words, strlen(words));
	}
	if (nresults > 0) {
		const char *colon = strchr(native->types, ':');

		set_bits(&results[0], kind_of(colon[1]), call.result);
	}
	return NULL;
}

static wasm_functype_t *type_of(const struct wasmtime_api *api, const char *types)
{
	struct wasm_valtypes params;
	struct wasm_valtypes results;
	wasm_valtype_t *list[12];
	size_t count = 0;

	for (; *types != ':'; types++) {
		list[count++] = api->wasm_valtype_new(kind_of(*types));
	}
	api->wasm_valtype_vec_new(&params, count, list);
	count = 0;
	if (types[1] != '\0') {
		list[count++] = api->wasm_valtype_new(kind_of(types[1]));
	}
	api->wasm_valtype_vec_new(&results, count, list);
	return api->wasm_functype_new(&params, &results);
}

static bool offer(struct run *run, struct proplet_outcome *out)
{
	const struct wasmtime_api *api = &run->made->api;

	for (size_t i = 0; i < proplet_natives_count; i++) {
		const struct proplet_native *native = &proplet_natives[i];
		wasm_functype_t *type = type_of(api, native->types);
		wasmtime_error_t *error = api->wasmtime_linker_define_func(
			run->linker, native->module, strlen(native->module), native->name,
			strlen(native->name), type, call_native, &run->made->links[i], NULL);

		api->wasm_functype_delete(type);
		if (error != NULL) {
			error_words(api, error, out->text, sizeof(out->text));
			return false;
		}
	}
	return true;
}

/* -- one run ------------------------------------------------------------------------------- */

static wasmtime_error_t *at_epoch(wasmtime_context_t *context, void *data, uint64_t *delta,
				  uint8_t *kind)
{
	struct run *run = data;

	(void)context;
	*delta = 1;
	*kind = 0; /* go on */
	return proplet_over(run->job) ? run->made->api.wasmtime_error_new("over") : NULL;
}

static bool load(struct run *run, struct proplet_outcome *out)
{
	const struct wasmtime_api *api = &run->made->api;
	struct proplet_job *job = run->job;
	bool fuel = job->fuel != PROPLET_UNLIMITED;
	wasm_engine_t *engine = run->made->engines[fuel];
	int64_t memory = job->memory > INT64_MAX ? -1 : (int64_t)job->memory;
	wasmtime_error_t *error;

	error = api->wasmtime_module_new(engine, job->module, job->module_size, &run->module);
	if (error != NULL) {
		error_words(api, error, out->text, sizeof(out->text));
		return false;
	}
	run->store = api->wasmtime_store_new(engine, run, NULL);
	run->context = api->wasmtime_store_context(run->store);
	api->wasmtime_store_limiter(run->store, memory, 100000, 1, 16, 1);
	api->wasmtime_store_epoch_deadline_callback(run->store, at_epoch, run, NULL);
	api->wasmtime_context_set_epoch_deadline(run->context, 1);
	if (fuel) {
		error = api->wasmtime_context_set_fuel(run->context, job->fuel);
		if (error != NULL) {
			error_words(api, error, out->text, sizeof(out->text));
			return false;
		}
	}
	run->linker = api->wasmtime_linker_new(engine);
	return offer(run, out);
}

static void unload(struct run *run)
{
	const struct wasmtime_api *api = &run->made->api;

	if (run->linker != NULL) {
		api->wasmtime_linker_delete(run->linker);
	}
	if (run->store != NULL) {
		api->wasmtime_store_delete(run->store);
	}
	if (run->module != NULL) {
		api->wasmtime_module_delete(run->module);
	}
}

static uint64_t memory_now(struct run *run)
{
	const struct wasmtime_api *api = &run->made->api;
	struct wasmtime_extern found;
	uint64_t bytes = 0;

	if (api->wasmtime_instance_export_get(run->context, &run->instance, "memory", 6, &found)) {
		if (found.kind == WASMTIME_EXTERN_MEMORY) {
			bytes = api->wasmtime_memory_data_size(run->context, &found.of);
		}
		api->wasmtime_extern_delete(&found);
	}
	return bytes;
}

/* Whether the call came back; else the end is told. */
static bool came_back(struct run *run, wasmtime_error_t *error, wasm_trap_t *trap,
		      struct proplet_outcome *out)
{
	const struct wasmtime_api *api = &run->made->api;
	struct proplet_job *job = run->job;
	char words[PROPLET_TEXT_MAX - 64] = "";
	uint8_t code = 255;

	if (error == NULL && trap == NULL) {
		return true;
	}
	if (error != NULL) {
		error_words(api, error, words, sizeof(words));
	}
	if (trap != NULL) {
		struct wasm_bytes message;

		if (!api->wasmtime_trap_code(trap, &code)) {
			code = 255;
		}
		api->wasm_trap_message(trap, &message);
		first_line(&message, words, sizeof(words));
		api->wasm_byte_vec_delete(&message);
		api->wasm_trap_delete(trap);
	}
	if (job->left) {
		out->end = job->why;
		out->exit = job->exit;
		if (job->why == PROPLET_END_REFUSED) {
			proplet_words_refused(out, words);
		} else if (job->why != PROPLET_END_RETURNED) {
			proplet_words_limit(out, job);
		}
	} else if (code == WASMTIME_TRAP_OUT_OF_FUEL) {
		out->end = PROPLET_END_FUEL;
		proplet_words_limit(out, job);
	} else if (atomic_load(&job->asked) != 0) {
		out->end = (enum proplet_end)atomic_load(&job->asked);
		proplet_words_limit(out, job);
	} else {
		const char *known = trap_words(code);

		proplet_words_trap(out, job, known != NULL ? known : words);
	}
	return false;
}

static bool call(struct run *run, const struct wasmtime_func *func, const struct wasmtime_val *args,
		 size_t nargs, struct wasmtime_val *results, size_t nresults,
		 struct proplet_outcome *out)
{
	wasm_trap_t *trap = NULL;
	wasmtime_error_t *error = run->made->api.wasmtime_func_call(
		run->context, func, args, nargs, results, nresults, &trap);

	out->memory = memory_now(run);
	return came_back(run, error, trap, out);
}

static bool find(struct run *run, const char *name, struct wasmtime_func *func)
{
	const struct wasmtime_api *api = &run->made->api;
	struct wasmtime_extern found;
	bool is;

	if (!api->wasmtime_instance_export_get(run->context, &run->instance, name, strlen(name),
					       &found)) {
		return false;
	}
	is = found.kind == WASMTIME_EXTERN_FUNC;
	if (is) {
		*func = found.of.func;
	}
	api->wasmtime_extern_delete(&found);
	return is;
}

/* Letters of `kinds`; false where there are too many. */
static bool letters(const struct wasmtime_api *api, const struct wasm_valtypes *kinds, char *to)
{
	if (kinds->size > PROPLET_VALUES_MAX) {
		return false;
	}
	for (size_t i = 0; i < kinds->size; i++) {
		to[i] = letter_of(api->wasm_valtype_kind(kinds->data[i]));
	}
	to[kinds->size] = '\0';
	return true;
}

static bool read_args(struct run *run, const char *types, struct wasmtime_val *args,
		      struct proplet_outcome *out)
{
	const struct proplet_job *job = run->job;

	if (!proplet_values_fit(types, job->args_count, out->text, sizeof(out->text))) {
		return false;
	}
	for (size_t i = 0; i < job->args_count; i++) {
		uint64_t bits;

		if (!proplet_value_read(types[i], job->args[i], (int)i + 1, &bits, out->text,
					sizeof(out->text))) {
			return false;
		}
		set_bits(&args[i], kind_of(types[i]), bits);
	}
	return true;
}

static void call_export(struct run *run, struct wasmtime_func *func, struct proplet_outcome *out)
{
	const struct wasmtime_api *api = &run->made->api;
	wasm_functype_t *type = api->wasmtime_func_type(run->context, func);
	char params[PROPLET_VALUES_MAX + 1];
	char results[PROPLET_VALUES_MAX + 1];
	bool fits = letters(api, api->wasm_functype_params(type), params) &&
		    letters(api, api->wasm_functype_results(type), results);
	struct wasmtime_val args[PROPLET_VALUES_MAX];
	struct wasmtime_val values[PROPLET_VALUES_MAX];
	struct wasmtime_func prepare;
	size_t at = 0;

	api->wasm_functype_delete(type);
	memset(values, 0, sizeof(values));
	if (!fits) {
		proplet_words_refused(out, "an entry point with more than 16 values");
		return;
	}
	if (!read_args(run, params, args, out)) {
		proplet_words_refused(out, out->text);
		return;
	}
	if (find(run, "_initialize", &prepare) && !call(run, &prepare, NULL, 0, NULL, 0, out)) {
		return;
	}
	if (!call(run, func, args, strlen(params), values, strlen(results), out)) {
		return;
	}
	out->valued = results[0] != '\0';
	for (size_t i = 0; results[i] != '\0'; i++) {
		at = proplet_put_text(out->text, sizeof(out->text), at, i == 0 ? "" : ",");
		at += proplet_value_write(results[i], bits_of(&values[i]), out->text + at,
					  sizeof(out->text) - at);
	}
}

static void go(struct run *run, struct proplet_outcome *out)
{
	const struct wasmtime_api *api = &run->made->api;
	struct proplet_job *job = run->job;
	struct wasmtime_func func;
	wasm_trap_t *trap = NULL;
	wasmtime_error_t *error;

	if (!load(run, out)) {
		proplet_words_refused(out, out->text);
		return;
	}
	job->began = job->now_ms(job->context);
	error = api->wasmtime_linker_instantiate(run->linker, run->context, run->module,
						 &run->instance, &trap);
	if (error != NULL && !job->left) { /* a missing import, or more memory than it may have */
		error_words(api, error, out->text, sizeof(out->text));
		proplet_words_refused(out, out->text);
		return;
	}
	if (!came_back(run, error, trap, out)) {
		return;
	}
	if (!find(run, job->entrypoint, &func)) {
		proplet_words_refused(out, "exports no function of that name");
	} else if (strcmp(job->entrypoint, "_start") == 0) {
		call(run, &func, NULL, 0, NULL, 0, out);
	} else {
		call_export(run, &func, out);
	}
}

static void run_job(struct proplet_runtime *runtime, struct proplet_job *job,
		    struct proplet_outcome *out)
{
	struct run run = {.made = (struct made *)runtime, .job = job};

	memset(out, 0, sizeof(*out));
	out->end = PROPLET_END_RETURNED;
	go(&run, out);
	unload(&run);
}

/* -- the engine ---------------------------------------------------------------------------- */

static void tick(struct proplet_runtime *runtime)
{
	struct made *made = (struct made *)runtime;

	made->api.wasmtime_engine_increment_epoch(made->engines[0]);
	made->api.wasmtime_engine_increment_epoch(made->engines[1]);
}

static void stop(struct proplet_runtime *runtime, struct proplet_job *job, enum proplet_end why)
{
	int none = 0;

	atomic_compare_exchange_strong(&job->asked, &none, (int)why);
	tick(runtime);
}

static void close_made(struct proplet_runtime *runtime)
{
	struct made *made = (struct made *)runtime;

	for (int i = 0; i < 2; i++) {
		if (made->engines[i] != NULL) {
			made->api.wasm_engine_delete(made->engines[i]);
		}
	}
	/* The library stays loaded: its signal handlers do. */
	free(made->links);
	free(made);
}

static wasm_engine_t *engine_of(const struct wasmtime_api *api, bool fuel)
{
	wasm_config_t *config = api->wasm_config_new();

	api->wasmtime_config_epoch_interruption_set(config, true);
	api->wasmtime_config_consume_fuel_set(config, fuel);
	api->wasmtime_config_wasm_threads_set(config, false);
	api->wasmtime_config_parallel_compilation_set(config, false);
	api->wasmtime_config_cranelift_nan_canonicalization_set(config, true);
	api->wasmtime_config_wasm_relaxed_simd_deterministic_set(config, true);
	return api->wasm_engine_new_with_config(config);
}

static bool find_names(struct made *made, char *words, size_t size)
{
	const char *missing = NULL;

#define X(result, name, parameters)                                                                \
	*(void **)&made->api.name = dlsym(made->library, #name);                                   \
	if (made->api.name == NULL) {                                                              \
		missing = #name;                                                                   \
	}
	WASMTIME_API(X)
#undef X
	if (missing != NULL) {
		snprintf(words, size, "this wasmtime has no %s: another version is needed",
			 missing);
	}
	return missing == NULL;
}

struct proplet_runtime *proplet_wasmtime(const char *path, char *words, size_t words_size)
{
	struct made *made = calloc(1, sizeof(*made));

	if (made == NULL) {
		snprintf(words, words_size, "no memory");
		return NULL;
	}
	made->runtime = (struct proplet_runtime){.name = "wasmtime",
						 .version = "c-api",
						 .run = run_job,
						 .stop = stop,
						 .tick = tick,
						 .close = close_made};
	made->links = calloc(proplet_natives_count, sizeof(*made->links));
	made->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (made->links == NULL || made->library == NULL) {
		snprintf(words, words_size, "%s", made->library == NULL ? dlerror() : "no memory");
		goto failed;
	}
	if (!find_names(made, words, words_size)) {
		goto failed;
	}
	for (size_t i = 0; i < proplet_natives_count; i++) {
		made->links[i] = (struct link){made, &proplet_natives[i]};
	}
	for (int i = 0; i < 2; i++) {
		made->engines[i] = engine_of(&made->api, i == 1);
		if (made->engines[i] == NULL) {
			snprintf(words, words_size, "wasmtime made no engine");
			goto failed;
		}
	}
	return &made->runtime;
failed:
	close_made(&made->runtime);
	return NULL;
}
