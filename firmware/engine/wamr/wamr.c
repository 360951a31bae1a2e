/*
 * Guests by WAMR: the classic interpreter, instructions counted, stoppable from another thread.
 *
 * Everything a guest takes comes from one pool that the caller gave: modules, instances, operand
 * stacks, linear memories. A guest that wants more than is left is refused or gets -1 from
 * memory.grow; nothing outside of the pool suffers. Built with WAMR_BUILD_INSTRUCTION_METERING and
 * WAMR_BUILD_THREAD_MGR; wamr.cmake has the whole list.
 */
#include <string.h>

#include "natives.h"
#include "platform_api_extension.h"
#include "platform_api_vmcore.h"
#include "values.h"
#include "wasm_export.h"
#include "endings.h"

#ifndef PROPLET_WAMR_STACK
#define PROPLET_WAMR_STACK 8192 /* bytes of operand stack a guest */
#endif

#define NATIVES_MAX 64
#define SIGNATURE_MAX 16

struct run {
	struct run *next;
	struct proplet_job *job;
	wasm_module_t module;
	wasm_module_inst_t instance;
	wasm_exec_env_t env;
};

static struct made {
	struct proplet_runtime runtime;
	korp_mutex lock; /* of `runs`, and of ending one of them */
	struct run *runs;
	NativeSymbol symbols[NATIVES_MAX];
	char signatures[NATIVES_MAX][SIGNATURE_MAX];
	bool up;
} made; /* WAMR itself is one a process */

/* -- natives ------------------------------------------------------------------------------- */

static struct proplet_linear memory_of(wasm_module_inst_t instance)
{
	wasm_memory_inst_t found = wasm_runtime_get_memory(instance, 0);
	struct proplet_linear memory = {NULL, 0};

	if (found != NULL) {
		memory.data = wasm_memory_get_base_address(found);
		memory.size = wasm_memory_get_cur_page_count(found) *
			      wasm_memory_get_bytes_per_page(found);
	}
	return memory;
}

static void call_native(wasm_exec_env_t env, uint64_t *slots)
{
	const struct proplet_native *native = wasm_runtime_get_function_attachment(env);
	struct run *run = wasm_runtime_get_user_data(env);
	char words[PROPLET_TEXT_MAX] = "";
	struct proplet_call call = {.job = run->job,
				    .memory = memory_of(run->instance),
				    .args = slots,
				    .words = words};
	uint32_t narrow;

	if (native->call(&call) == PROPLET_LEAVE) {
		wasm_runtime_set_exception(run->instance, words[0] != '\0' ? words : "left");
		return;
	}
	switch (strchr(native->types, ':')[1]) {
	case '\0':
		return;
	case 'i':
	case 'f':
		narrow = (uint32_t)call.result;
		memcpy(slots, &narrow, sizeof(narrow));
		return;
	default:
		memcpy(slots, &call.result, sizeof(call.result));
	}
}

/* "iiI:i" as WAMR spells it: "(iiI)i". */
static void spell(const char *types, char *to)
{
	*to++ = '(';
	for (; *types != ':'; types++) {
		*to++ = *types;
	}
	*to++ = ')';
	if (types[1] != '\0') {
		*to++ = types[1];
	}
	*to = '\0';
}

static bool offer(void)
{
	size_t first = 0;

	for (size_t i = 0; i < proplet_natives_count; i++) {
		const struct proplet_native *native = &proplet_natives[i];

		spell(native->types, made.signatures[i]);
		made.symbols[i] = (NativeSymbol){.symbol = native->name,
						 .func_ptr = (void *)(uintptr_t)call_native,
						 .signature = made.signatures[i],
						 .attachment = (void *)(uintptr_t)native};
	}
	for (size_t i = 1; i <= proplet_natives_count; i++) {
		if (i < proplet_natives_count &&
		    strcmp(proplet_natives[i].module, proplet_natives[first].module) == 0) {
			continue;
		}
		if (!wasm_runtime_register_natives_raw(proplet_natives[first].module,
						       &made.symbols[first],
						       (uint32_t)(i - first))) {
			return false;
		}
		first = i;
	}
	return true;
}

/* -- one run ------------------------------------------------------------------------------- */

static const char *trap_words(const char *exception)
{
	static const char *const known[][2] = {
		{"unreachable", "unreachable was reached"},
		{"wasm operand stack overflow", "stack overflow"},
		{"native stack overflow", "stack overflow"},
		{"uninitialized element", "call of a null function"},
		{"undefined element", "out of bounds table access"},
		{"indirect call type mismatch", "indirect call with the wrong type"},
		{"invalid conversion to integer", "a float that is no integer"},
	};

	if (strncmp(exception, "Exception: ", 11) == 0) {
		exception += 11;
	}
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(exception, known[i][0]) == 0) {
			return known[i][1];
		}
	}
	return exception;
}

/* How it ended that did not come back. */
static void ended(struct run *run, struct proplet_outcome *out)
{
	struct proplet_job *job = run->job;
	const char *exception = wasm_runtime_get_exception(run->instance);

	exception = exception == NULL ? "it ended without a word" : exception;
	if (job->left) {
		out->end = job->why;
		out->exit = job->exit;
		if (job->why == PROPLET_END_REFUSED) {
			proplet_words_refused(out, trap_words(exception));
		} else if (job->why != PROPLET_END_RETURNED) {
			proplet_words_limit(out, job);
		}
	} else if (strstr(exception, "instruction limit exceeded") != NULL) {
		out->end = PROPLET_END_FUEL;
		proplet_words_limit(out, job);
	} else if (atomic_load(&job->asked) != 0) {
		out->end = (enum proplet_end)atomic_load(&job->asked);
		proplet_words_limit(out, job);
	} else {
		proplet_words_trap(out, job, trap_words(exception));
	}
}

static bool call(struct run *run, wasm_function_inst_t func, uint32_t nresults,
		 wasm_val_t *results, uint32_t nargs, wasm_val_t *args,
		 struct proplet_outcome *out)
{
	bool back = false;

	if (!proplet_over(run->job)) {
		back = wasm_runtime_call_wasm_a(run->env, func, nresults, results, nargs, args);
	}
	out->memory = memory_of(run->instance).size;
	if (!back) {
		ended(run, out);
	}
	return back;
}

static bool linked(wasm_module_t module, bool aot, struct proplet_outcome *out)
{
	int32_t count = wasm_runtime_get_import_count(module);

	for (int32_t i = 0; i < count; i++) {
		wasm_import_t import;
		size_t at;

		wasm_runtime_get_import_type(module, i, &import);
		if (aot && strcmp(import.module_name, "wasi_snapshot_preview1") == 0) {
			/* wamrc knows these, and calls them as functions of WAMR's own libc-wasi. */
			proplet_put_text(out->text, sizeof(out->text), 0,
					 "imports WASI, which native code is not given");
			return false;
		}
		if (import.kind == WASM_IMPORT_EXPORT_KIND_FUNC && import.linked) {
			continue;
		}
		at = proplet_put_text(out->text, sizeof(out->text), 0,
				      "needs an import nobody here provides: ");
		at = proplet_put_text(out->text, sizeof(out->text), at, import.module_name);
		at = proplet_put_text(out->text, sizeof(out->text), at, ".");
		proplet_put_text(out->text, sizeof(out->text), at, import.name);
		return false;
	}
	return true;
}

static bool load(struct run *run, struct proplet_outcome *out)
{
	struct proplet_job *job = run->job;
	InstantiationArgs args = {.default_stack_size = PROPLET_WAMR_STACK};

	if (job->fuel != PROPLET_UNLIMITED && job->fuel > INT32_MAX) {
		proplet_put_text(out->text, sizeof(out->text), 0,
				 "fuel of more than 2147483647 cannot be counted here");
		return false;
	}
	if (get_package_type(job->module, (uint32_t)job->module_size) !=
	    (job->aot ? Wasm_Module_AoT : Wasm_Module_Bytecode)) { /* WAMR itself takes either */
		proplet_put_text(out->text, sizeof(out->text), 0,
				 job->aot ? "is no native code" : "is no WebAssembly");
		return false;
	}
	if (job->aot && job->fuel != PROPLET_UNLIMITED) {
		proplet_put_text(out->text, sizeof(out->text), 0,
				 "the fuel of native code cannot be counted");
		return false;
	}
	run->module = wasm_runtime_load(job->module, (uint32_t)job->module_size, out->text,
					sizeof(out->text));
	if (run->module == NULL || !linked(run->module, job->aot, out)) {
		return false;
	}
	if (job->memory != PROPLET_UNLIMITED) {
		uint64_t pages = job->memory / 65536;

		args.max_memory_pages = pages > 65536 ? 65536 : pages == 0 ? 1 : (uint32_t)pages;
	}
	run->instance = wasm_runtime_instantiate_ex(run->module, &args, out->text,
						    sizeof(out->text));
	if (run->instance == NULL) {
		return false;
	}
	run->env = wasm_runtime_create_exec_env(run->instance, PROPLET_WAMR_STACK);
	if (run->env == NULL) {
		proplet_put_text(out->text, sizeof(out->text), 0, "no memory left for its stack");
		return false;
	}
	wasm_runtime_set_user_data(run->env, run);
	if (job->fuel != PROPLET_UNLIMITED) {
		wasm_runtime_set_instruction_count_limit(run->env, (int)job->fuel);
	}
	return true;
}

static void enter(struct run *run)
{
	os_mutex_lock(&made.lock);
	run->next = made.runs;
	made.runs = run;
	os_mutex_unlock(&made.lock);
}

static void leave(struct run *run)
{
	os_mutex_lock(&made.lock);
	for (struct run **at = &made.runs; *at != NULL; at = &(*at)->next) {
		if (*at == run) {
			*at = run->next;
			break;
		}
	}
	os_mutex_unlock(&made.lock);
}

static void unload(struct run *run)
{
	if (run->env != NULL) {
		wasm_runtime_destroy_exec_env(run->env);
	}
	if (run->instance != NULL) {
		struct proplet_linear memory = memory_of(run->instance);

		if (run->job->secret && memory.data != NULL) { /* the pool is the next guest's */
			proplet_wipe(memory.data, (size_t)memory.size);
		}
		wasm_runtime_deinstantiate(run->instance);
	}
	if (run->module != NULL) {
		wasm_runtime_unload(run->module);
	}
}

static bool letters(const wasm_valkind_t *kinds, uint32_t count, char *to)
{
	for (uint32_t i = 0; i < count; i++) {
		to[i] = kinds[i] <= WASM_F64 ? "iIfF"[kinds[i]] : '?';
	}
	to[count] = '\0';
	return true;
}

static bool read_args(const struct proplet_job *job, const char *types, wasm_val_t *args,
		      struct proplet_outcome *out)
{
	if (!proplet_values_fit(types, job->args_count, out->text, sizeof(out->text))) {
		return false;
	}
	for (size_t i = 0; i < job->args_count; i++) {
		uint64_t bits;

		if (!proplet_value_read(types[i], job->args[i], (int)i + 1, &bits, out->text,
					sizeof(out->text))) {
			return false;
		}
		memset(&args[i], 0, sizeof(args[i]));
		args[i].kind = (wasm_valkind_t)(strchr("iIfF", types[i]) - "iIfF");
		if (types[i] == 'i' || types[i] == 'f') {
			uint32_t narrow = (uint32_t)bits;

			memcpy(&args[i].of, &narrow, sizeof(narrow));
		} else {
			memcpy(&args[i].of, &bits, sizeof(bits));
		}
	}
	return true;
}

static uint64_t bits_of(const wasm_val_t *value, char type)
{
	uint32_t narrow;
	uint64_t bits;

	if (type == 'i' || type == 'f') {
		memcpy(&narrow, &value->of, sizeof(narrow));
		return narrow;
	}
	memcpy(&bits, &value->of, sizeof(bits));
	return bits;
}

static void call_export(struct run *run, wasm_function_inst_t func, struct proplet_outcome *out)
{
	uint32_t nargs = wasm_func_get_param_count(func, run->instance);
	uint32_t nresults = wasm_func_get_result_count(func, run->instance);
	wasm_valkind_t kinds[PROPLET_VALUES_MAX];
	wasm_val_t args[PROPLET_VALUES_MAX];
	wasm_val_t values[PROPLET_VALUES_MAX];
	char params[PROPLET_VALUES_MAX + 1];
	char results[PROPLET_VALUES_MAX + 1];
	wasm_function_inst_t prepare;
	size_t at = 0;

	if (nargs > PROPLET_VALUES_MAX || nresults > PROPLET_VALUES_MAX) {
		proplet_words_refused(out, "an entry point with more than 16 values");
		return;
	}
	wasm_func_get_param_types(func, run->instance, kinds);
	letters(kinds, nargs, params);
	wasm_func_get_result_types(func, run->instance, kinds);
	letters(kinds, nresults, results);
	if (!read_args(run->job, params, args, out)) {
		proplet_words_refused(out, out->text);
		return;
	}
	prepare = wasm_runtime_lookup_function(run->instance, "_initialize");
	if (prepare != NULL && !call(run, prepare, 0, NULL, 0, NULL, out)) {
		return;
	}
	memset(values, 0, sizeof(values));
	if (!call(run, func, nresults, values, nargs, args, out)) {
		return;
	}
	out->valued = nresults > 0;
	for (uint32_t i = 0; i < nresults; i++) {
		at = proplet_put_text(out->text, sizeof(out->text), at, i == 0 ? "" : ",");
		at += proplet_value_write(results[i], bits_of(&values[i], results[i]),
					  out->text + at, sizeof(out->text) - at);
	}
}

static void go(struct run *run, struct proplet_outcome *out)
{
	struct proplet_job *job = run->job;
	wasm_function_inst_t func;

	if (!load(run, out)) {
		proplet_words_refused(out, out->text);
		return;
	}
	job->began = job->now_ms(job->context);
	func = wasm_runtime_lookup_function(run->instance, job->entrypoint);
	if (func == NULL) {
		proplet_words_refused(out, "exports no function of that name");
		return;
	}
	enter(run);
	if (strcmp(job->entrypoint, "_start") == 0) {
		call(run, func, 0, NULL, 0, NULL, out);
	} else {
		call_export(run, func, out);
	}
	leave(run);
}

static void run_job(struct proplet_runtime *runtime, struct proplet_job *job,
		    struct proplet_outcome *out)
{
	struct run run = {.job = job};

	(void)runtime;
	memset(out, 0, sizeof(*out));
	out->end = PROPLET_END_RETURNED;
	if (!wasm_runtime_init_thread_env()) {
		proplet_words_refused(out, "no memory left for its thread");
		return;
	}
	go(&run, out);
	unload(&run);
	wasm_runtime_destroy_thread_env();
}

/* -- the engine ---------------------------------------------------------------------------- */

static void tick(struct proplet_runtime *runtime)
{
	(void)runtime;
	os_mutex_lock(&made.lock);
	for (struct run *run = made.runs; run != NULL; run = run->next) {
		if (proplet_over(run->job)) {
			wasm_runtime_terminate(run->instance);
		}
	}
	os_mutex_unlock(&made.lock);
}

static void stop(struct proplet_runtime *runtime, struct proplet_job *job, enum proplet_end why)
{
	int none = 0;

	atomic_compare_exchange_strong(&job->asked, &none, (int)why);
	tick(runtime);
}

static void close_made(struct proplet_runtime *runtime)
{
	(void)runtime;
	wasm_runtime_destroy();
	os_mutex_destroy(&made.lock);
	made.up = false;
}

struct proplet_runtime *proplet_wamr(void *pool, size_t pool_size)
{
	RuntimeInitArgs args;

	if (made.up || proplet_natives_count > NATIVES_MAX) {
		return NULL;
	}
	memset(&args, 0, sizeof(args));
	args.mem_alloc_type = Alloc_With_Pool;
	args.mem_alloc_option.pool.heap_buf = pool;
	args.mem_alloc_option.pool.heap_size = (uint32_t)pool_size;
	if (!wasm_runtime_full_init(&args)) {
		return NULL;
	}
	if (os_mutex_init(&made.lock) != 0 || !offer()) {
		wasm_runtime_destroy();
		return NULL;
	}
	wasm_runtime_set_log_level(WASM_LOG_LEVEL_FATAL);
	made.runtime = (struct proplet_runtime){.name = "wamr",
						.version = PROPLET_WAMR_VERSION,
#ifdef PROPLET_WAMR_AOT
						.aot = PROPLET_WAMR_AOT,
#endif
						.run = run_job,
						.stop = stop,
						.tick = tick,
						.close = close_made};
	made.up = true;
	return &made.runtime;
}
