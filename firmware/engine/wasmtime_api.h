/*
 * The few declarations of wasmtime's C API that engine/wasmtime.c uses, found at run time in the
 * shared object of PyPI's `wasmtime` (no headers come with it). Layouts as in version 45 and later;
 * the engine refuses a library that lacks one of these names.
 */
#ifndef PROPLET_WASMTIME_API_H
#define PROPLET_WASMTIME_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct wasm_config wasm_config_t;
typedef struct wasm_engine wasm_engine_t;
typedef struct wasm_valtype wasm_valtype_t;
typedef struct wasm_functype wasm_functype_t;
typedef struct wasm_trap wasm_trap_t;
typedef struct wasmtime_error wasmtime_error_t;
typedef struct wasmtime_module wasmtime_module_t;
typedef struct wasmtime_store wasmtime_store_t;
typedef struct wasmtime_context wasmtime_context_t;
typedef struct wasmtime_linker wasmtime_linker_t;
typedef struct wasmtime_caller wasmtime_caller_t;

struct wasm_bytes {
	size_t size;
	char *data;
};

struct wasm_valtypes {
	size_t size;
	wasm_valtype_t **data;
};

struct wasmtime_instance {
	uint64_t store;
	size_t private;
};

struct wasmtime_func {
	uint64_t store;
	void *private;
};

struct wasmtime_val {
	uint8_t kind;
	union {
		int32_t i32;
		int64_t i64;
		float f32;
		double f64;
		uint64_t words[3]; /* the largest: a reference */
	} of;
};

struct wasmtime_extern {
	uint8_t kind;
	union {
		struct wasmtime_func func;
		uint64_t words[6]; /* more than the largest, a memory or a global */
	} of;
};

enum { WASMTIME_EXTERN_FUNC = 0, WASMTIME_EXTERN_MEMORY = 3 };
enum { WASM_I32 = 0, WASM_I64 = 1, WASM_F32 = 2, WASM_F64 = 3 };
enum { WASMTIME_TRAP_INTERRUPT = 10, WASMTIME_TRAP_OUT_OF_FUEL = 11 };

typedef wasm_trap_t *(*wasmtime_callback)(void *env, wasmtime_caller_t *caller,
					  const struct wasmtime_val *args, size_t nargs,
					  struct wasmtime_val *results, size_t nresults);
typedef wasmtime_error_t *(*wasmtime_epoch_callback)(wasmtime_context_t *context, void *data,
						     uint64_t *delta, uint8_t *kind);
typedef void (*wasmtime_finalizer)(void *data);

#define WASMTIME_API(X)                                                                            \
	X(wasm_config_t *, wasm_config_new, (void))                                                \
	X(void, wasmtime_config_epoch_interruption_set, (wasm_config_t *, bool))                   \
	X(void, wasmtime_config_consume_fuel_set, (wasm_config_t *, bool))                         \
	X(void, wasmtime_config_wasm_threads_set, (wasm_config_t *, bool))                         \
	X(void, wasmtime_config_parallel_compilation_set, (wasm_config_t *, bool))                 \
	X(void, wasmtime_config_cranelift_nan_canonicalization_set, (wasm_config_t *, bool))       \
	X(void, wasmtime_config_wasm_relaxed_simd_deterministic_set, (wasm_config_t *, bool))      \
	X(wasm_engine_t *, wasm_engine_new_with_config, (wasm_config_t *))                         \
	X(void, wasm_engine_delete, (wasm_engine_t *))                                             \
	X(void, wasmtime_engine_increment_epoch, (wasm_engine_t *))                                \
	X(wasm_valtype_t *, wasm_valtype_new, (uint8_t))                                           \
	X(uint8_t, wasm_valtype_kind, (const wasm_valtype_t *))                                    \
	X(void, wasm_valtype_vec_new, (struct wasm_valtypes *, size_t, wasm_valtype_t *const *))   \
	X(wasm_functype_t *, wasm_functype_new, (struct wasm_valtypes *, struct wasm_valtypes *))  \
	X(void, wasm_functype_delete, (wasm_functype_t *))                                         \
	X(const struct wasm_valtypes *, wasm_functype_params, (const wasm_functype_t *))           \
	X(const struct wasm_valtypes *, wasm_functype_results, (const wasm_functype_t *))          \
	X(void, wasm_byte_vec_delete, (struct wasm_bytes *))                                       \
	X(void, wasm_trap_delete, (wasm_trap_t *))                                                 \
	X(void, wasm_trap_message, (const wasm_trap_t *, struct wasm_bytes *))                     \
	X(bool, wasmtime_trap_code, (const wasm_trap_t *, uint8_t *))                              \
	X(wasm_trap_t *, wasmtime_trap_new, (const char *, size_t))                                \
	X(wasmtime_error_t *, wasmtime_error_new, (const char *))                                  \
	X(void, wasmtime_error_message, (const wasmtime_error_t *, struct wasm_bytes *))           \
	X(void, wasmtime_error_delete, (wasmtime_error_t *))                                       \
	X(wasmtime_error_t *, wasmtime_module_new,                                                 \
	  (wasm_engine_t *, const uint8_t *, size_t, wasmtime_module_t **))                        \
	X(void, wasmtime_module_delete, (wasmtime_module_t *))                                     \
	X(wasmtime_store_t *, wasmtime_store_new, (wasm_engine_t *, void *, wasmtime_finalizer))   \
	X(void, wasmtime_store_delete, (wasmtime_store_t *))                                       \
	X(wasmtime_context_t *, wasmtime_store_context, (wasmtime_store_t *))                      \
	X(void, wasmtime_store_limiter,                                                            \
	  (wasmtime_store_t *, int64_t, int64_t, int64_t, int64_t, int64_t))                       \
	X(void, wasmtime_store_epoch_deadline_callback,                                            \
	  (wasmtime_store_t *, wasmtime_epoch_callback, void *, wasmtime_finalizer))               \
	X(void, wasmtime_context_set_epoch_deadline, (wasmtime_context_t *, uint64_t))             \
	X(wasmtime_error_t *, wasmtime_context_set_fuel, (wasmtime_context_t *, uint64_t))         \
	X(void *, wasmtime_context_get_data, (const wasmtime_context_t *))                         \
	X(wasmtime_linker_t *, wasmtime_linker_new, (wasm_engine_t *))                             \
	X(void, wasmtime_linker_delete, (wasmtime_linker_t *))                                     \
	X(wasmtime_error_t *, wasmtime_linker_define_func,                                         \
	  (wasmtime_linker_t *, const char *, size_t, const char *, size_t,                        \
	   const wasm_functype_t *, wasmtime_callback, void *, wasmtime_finalizer))                \
	X(wasmtime_error_t *, wasmtime_linker_instantiate,                                         \
	  (const wasmtime_linker_t *, wasmtime_context_t *, const wasmtime_module_t *,             \
	   struct wasmtime_instance *, wasm_trap_t **))                                            \
	X(bool, wasmtime_instance_export_get,                                                      \
	  (wasmtime_context_t *, const struct wasmtime_instance *, const char *, size_t,           \
	   struct wasmtime_extern *))                                                              \
	X(void, wasmtime_extern_delete, (struct wasmtime_extern *))                                \
	X(wasm_functype_t *, wasmtime_func_type,                                                   \
	  (const wasmtime_context_t *, const struct wasmtime_func *))                              \
	X(wasmtime_error_t *, wasmtime_func_call,                                                  \
	  (wasmtime_context_t *, const struct wasmtime_func *, const struct wasmtime_val *,        \
	   size_t, struct wasmtime_val *, size_t, wasm_trap_t **))                                 \
	X(bool, wasmtime_caller_export_get,                                                        \
	  (wasmtime_caller_t *, const char *, size_t, struct wasmtime_extern *))                   \
	X(wasmtime_context_t *, wasmtime_caller_context, (wasmtime_caller_t *))                    \
	X(uint8_t *, wasmtime_memory_data, (const wasmtime_context_t *, const void *))             \
	X(size_t, wasmtime_memory_data_size, (const wasmtime_context_t *, const void *))

struct wasmtime_api {
#define X(result, name, parameters) result(*name) parameters;
	WASMTIME_API(X)
#undef X
};

#endif
