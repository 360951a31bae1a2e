/*
 * May a module run here? Reads its sections from storage through a small window and judges as the
 * Linux proplet does (propeller/registry/wasm_core.py, proplet/runtime/fit.py): imports, memory, the
 * export that is called. Code, data and whether it all is valid are the engine's business.
 */
#include "admit.h"

#include "binary.h"

#define MAX_COUNT 1000000
#define MAX_IMPORTS 10000
#define MAX_EXPORTS 10000
#define MAX_SIGNATURE 1000
#define MAX_MEMORIES 100
#define SHOWN 8        /* exports that are named where the wanted one is missing */
#define SHOWN_IMPORTS 5
#define PAGE 65536
#define WASI "wasi_snapshot_preview1"
#define FL "propeller_fl"
#define READS "propeller.point_read"
#define WRITES "propeller.point_write"

/* Every function of WASI preview 1: an engine that offers the module offers these. */
static const char *const wasi[] = {
	"args_get", "args_sizes_get", "environ_get", "environ_sizes_get", "clock_res_get",
	"clock_time_get", "fd_advise", "fd_allocate", "fd_close", "fd_datasync", "fd_fdstat_get",
	"fd_fdstat_set_flags", "fd_fdstat_set_rights", "fd_filestat_get", "fd_filestat_set_size",
	"fd_filestat_set_times", "fd_pread", "fd_prestat_get", "fd_prestat_dir_name", "fd_pwrite",
	"fd_read", "fd_readdir", "fd_renumber", "fd_seek", "fd_sync", "fd_tell", "fd_write",
	"path_create_directory", "path_filestat_get", "path_filestat_set_times", "path_link",
	"path_open", "path_readlink", "path_remove_directory", "path_rename", "path_symlink",
	"path_unlink_file", "poll_oneoff", "proc_exit", "proc_raise", "random_get", "sched_yield",
	"sock_accept", "sock_recv", "sock_send", "sock_shutdown",
};

struct module {
	struct pp_binary b;
	const struct proplet_engine *engine;
	const struct proplet_guest *guest;
	uint32_t types_at, imports_at, functions_at; /* first entry of each section; 0: there is none */
	uint32_t types_end, imports_end, functions_end;
	uint32_t types, imports, functions, imported; /* imported: functions among the imports */
	uint64_t memory_min;
	uint32_t missing; /* imports nobody offers */
	bool trains, found;
	bool reads, writes; /* whether it imports what reads sensors, what drives outputs */
	uint32_t entry; /* index of the function that is called */
	uint32_t exported; /* functions, named in `there` */
	struct pp_words *there; /* names of functions that are exported */
	struct pp_words lacking; /* names of imports that are not offered */
};

static const char *const all_types = "\x7f\x7e\x7d\x7c\x7b\x70\x6f\x6e\x6d\x6c\x6b\x6a\x69\x68"
				     "\x71\x72\x73\x74\x75";

static void code_fault(struct module *m, const char *what, unsigned code)
{
	static const char digits[] = "0123456789abcdef";
	char hex[5] = {'0', 'x', digits[code >> 4], digits[code & 15], 0};

	if (!m->b.bad) {
		pp_binary_fault(&m->b, what);
		if (code < 16) { /* as Python writes it, without a leading nought */
			hex[2] = hex[3];
			hex[3] = 0;
		}
		pp_words_add(m->b.why, hex);
	}
}

static void number_fault(struct module *m, const char *before, uint64_t number, const char *after)
{
	if (!m->b.bad) {
		pp_binary_fault(&m->b, before);
		pp_words_number(m->b.why, number);
		pp_words_add(m->b.why, after);
	}
}

/* -- types -------------------------------------------------------------------------------------- */

static bool plain_type(int code)
{
	return code > 0 && strchr(all_types, code) != NULL;
}

static uint8_t value_type(struct module *m)
{
	const uint8_t code = pp_binary_byte(&m->b);

	if (plain_type(code)) {
		return code;
	}
	if (code != 0x63 && code != 0x64) {
		code_fault(m, "unknown value type ", code);
		return 0;
	}
	if (plain_type(pp_binary_peek(&m->b))) {
		(void)pp_binary_byte(&m->b);
	} else {
		(void)pp_binary_unsigned(&m->b, 33);
	}
	return code;
}

static uint32_t value_types(struct module *m)
{
	const uint32_t count = pp_binary_count(&m->b, MAX_SIGNATURE, "value types");

	for (uint32_t i = 0; i < count && !m->b.bad; i++) {
		(void)value_type(m);
	}
	return count;
}

static void field(struct module *m)
{
	const int code = pp_binary_peek(&m->b);

	if (code == 0x78 || code == 0x77) {
		(void)pp_binary_byte(&m->b);
	} else {
		(void)value_type(m);
	}
	(void)pp_binary_byte(&m->b);
}

/* One type; for a function the count of its parameters, else -1. */
static int64_t sub_type(struct module *m)
{
	const int lead = pp_binary_peek(&m->b);
	int64_t params = -1;
	uint32_t count;
	uint8_t form;

	if (lead == 0x50 || lead == 0x4F) {
		(void)pp_binary_byte(&m->b);
		count = pp_binary_count(&m->b, MAX_SIGNATURE, "supertypes");
		for (uint32_t i = 0; i < count && !m->b.bad; i++) {
			(void)pp_binary_unsigned(&m->b, 32);
		}
	}
	form = pp_binary_byte(&m->b);
	switch (form) {
	case 0x60:
		params = value_types(m);
		(void)value_types(m);
		break;
	case 0x5F:
		count = pp_binary_count(&m->b, 10000, "fields");
		for (uint32_t i = 0; i < count && !m->b.bad; i++) {
			field(m);
		}
		break;
	case 0x5E:
		field(m);
		break;
	case 0x5D:
		(void)pp_binary_unsigned(&m->b, 33);
		break;
	default:
		code_fault(m, "unknown type form ", form);
	}
	return params;
}

/* Walks the type section; `wanted` gets the parameters of one type, -1 where it is no function. */
static void walk_types(struct module *m, uint32_t groups, uint32_t wanted, int64_t *params)
{
	uint32_t index = 0;

	*params = -1;
	for (uint32_t i = 0; i < groups && !m->b.bad; i++) {
		uint32_t members = 1;

		if (pp_binary_peek(&m->b) == 0x4E) {
			(void)pp_binary_byte(&m->b);
			members = pp_binary_count(&m->b, MAX_COUNT - index, "types in a group");
		}
		for (uint32_t j = 0; j < members && !m->b.bad; j++, index++) {
			const int64_t found = sub_type(m);

			*params = index == wanted ? found : *params;
		}
	}
	m->types = index;
}

/* -- a second look: the signature of one function ----------------------------------------------- */

static void limits(struct module *m, uint64_t *least, uint64_t *most, uint8_t *flags)
{
	unsigned bits;

	*flags = pp_binary_byte(&m->b);
	if (*flags > 0x0F) {
		code_fault(m, "unknown limits ", *flags);
	}
	bits = (*flags & 4) != 0 ? 64 : 32;
	*least = pp_binary_unsigned(&m->b, bits);
	*most = (*flags & 1) != 0 ? pp_binary_unsigned(&m->b, bits) : UINT64_MAX;
	if (*most < *least && !m->b.bad) {
		number_fault(m, "a maximum of ", *most, " below the minimum of ");
		pp_words_number(m->b.why, *least);
	}
}

static void memory(struct module *m)
{
	uint64_t least, most, largest, page = PAGE;
	uint8_t flags;

	limits(m, &least, &most, &flags);
	if ((flags & 8) != 0) {
		const uint64_t power = pp_binary_unsigned(&m->b, 32);

		if (power > 16) {
			number_fault(m, "a page size of 2^", power, "");
			return;
		}
		page = UINT64_C(1) << power;
	}
	largest = (flags & 1) != 0 ? most : least;
	if (largest > ((flags & 4) != 0 ? UINT64_MAX / page : (UINT64_C(1) << 32) / page)) {
		number_fault(m, "a memory of ", largest, " pages, more than can be addressed");
	}
	m->memory_min += m->b.bad ? 0 : least * page;
}

/* What stands behind the names of an import. Gives the type where it is a function, else -1. */
static int64_t import_kind(struct module *m, uint8_t kind)
{
	uint64_t least, most;
	uint8_t flags;

	switch (kind) {
	case 0:
		return (int64_t)pp_binary_unsigned(&m->b, 32);
	case 1:
		(void)value_type(m);
		limits(m, &least, &most, &flags);
		break;
	case 2:
		memory(m);
		break;
	case 3:
		(void)value_type(m);
		(void)pp_binary_byte(&m->b);
		break;
	case 4:
		(void)pp_binary_byte(&m->b);
		(void)pp_binary_unsigned(&m->b, 32);
		break;
	default:
		break;
	}
	return -1;
}

static int64_t imported_type(struct module *m, uint32_t wanted)
{
	uint32_t functions = 0, len;

	m->b.at = m->imports_at;
	for (uint32_t i = 0; i < m->imports && !m->b.bad; i++) {
		int64_t type;

		(void)pp_binary_name(&m->b, &len);
		(void)pp_binary_name(&m->b, &len);
		type = import_kind(m, pp_binary_byte(&m->b));
		if (type >= 0 && functions++ == wanted) {
			return type;
		}
	}
	return -1;
}

/* How many parameters the function has that is called; -1 where there is no telling. */
static int64_t params_of(struct module *m, uint32_t function)
{
	const uint64_t memory_min = m->memory_min;
	const uint32_t end = m->b.end;
	int64_t type, params;

	if (function < m->imported) {
		m->b.end = m->imports_end;
		type = imported_type(m, function);
	} else {
		m->b.at = m->functions_at;
		m->b.end = m->functions_end;
		type = -1;
		for (uint32_t i = m->imported; i <= function && !m->b.bad; i++) {
			type = (int64_t)pp_binary_unsigned(&m->b, 32);
		}
	}
	m->b.at = m->types_at;
	m->b.end = m->types_end;
	if (type < 0) {
		return -1;
	}
	walk_types(m, (uint32_t)pp_binary_count(&m->b, MAX_COUNT, "types"), (uint32_t)type, &params);
	m->memory_min = memory_min;
	m->b.end = end;
	return params;
}

/* -- sections ----------------------------------------------------------------------------------- */

static bool is_offered(struct module *m, const char *offer, uint32_t module_at, uint32_t module_len,
		       uint32_t name_at, uint32_t name_len)
{
	const size_t len = strlen(offer);
	size_t dot = 0;

	if (pp_binary_is(&m->b, module_at, module_len, (struct proplet_text){offer, len})) {
		m->trains = m->trains || strcmp(offer, FL) == 0;
		if (strcmp(offer, WASI) != 0) {
			return true;
		}
		for (size_t i = 0; i < sizeof wasi / sizeof wasi[0]; i++) {
			if (pp_binary_is(&m->b, name_at, name_len, pp_words_of(wasi[i]))) {
				return true;
			}
		}
		return false;
	}
	while (dot < len && offer[dot] != '.') {
		dot++;
	}
	if (dot == len ||
	    !pp_binary_is(&m->b, module_at, module_len, (struct proplet_text){offer, dot}) ||
	    !pp_binary_is(&m->b, name_at, name_len, pp_words_of(offer + dot + 1))) {
		return false;
	}
	m->reads = m->reads || strcmp(offer, READS) == 0;
	m->writes = m->writes || strcmp(offer, WRITES) == 0;
	return true;
}

static void judge_import(struct module *m, uint32_t module_at, uint32_t module_len,
			 uint32_t name_at, uint32_t name_len)
{
	for (size_t i = 0; m->engine->imports[i] != NULL; i++) {
		if (is_offered(m, m->engine->imports[i], module_at, module_len, name_at, name_len)) {
			return;
		}
	}
	if (m->missing++ < SHOWN_IMPORTS) {
		pp_words_add(&m->lacking, m->missing > 1 ? ", " : "");
		pp_binary_tell(&m->b, module_at, module_len, &m->lacking);
		pp_words_add(&m->lacking, ".");
		pp_binary_tell(&m->b, name_at, name_len, &m->lacking);
	}
}

static void function_type(struct module *m, int64_t type)
{
	/* Whether the type is a function's is seen where it is called, or by the engine. */
	if (type >= (int64_t)m->types) {
		number_fault(m, "a function of type ", (uint64_t)type, ", which is no function type");
	}
}

static void read_imports(struct module *m)
{
	m->imports = pp_binary_count(&m->b, MAX_IMPORTS, "imports");
	m->imports_at = m->b.at;
	for (uint32_t i = 0; i < m->imports && !m->b.bad; i++) {
		uint32_t module_len, name_len;
		const uint32_t module_at = pp_binary_name(&m->b, &module_len);
		const uint32_t name_at = pp_binary_name(&m->b, &name_len);
		const uint8_t kind = pp_binary_byte(&m->b);
		int64_t type;

		if (kind > 4 && !m->b.bad) {
			pp_binary_fault(&m->b, "import ");
			pp_binary_tell(&m->b, module_at, module_len, m->b.why);
			pp_words_add(m->b.why, ".");
			pp_binary_tell(&m->b, name_at, name_len, m->b.why);
			pp_words_add(m->b.why, " is of unknown kind ");
			pp_words_number(m->b.why, kind);
			return;
		}
		type = import_kind(m, kind);
		if (kind == 0 && !m->b.bad) {
			function_type(m, type);
			m->imported++;
		}
		if (!m->b.bad) {
			judge_import(m, module_at, module_len, name_at, name_len);
		}
	}
}

static void read_functions(struct module *m)
{
	m->functions = pp_binary_count(&m->b, MAX_COUNT, "functions");
	m->functions_at = m->b.at;
	for (uint32_t i = 0; i < m->functions && !m->b.bad; i++) {
		function_type(m, (int64_t)pp_binary_unsigned(&m->b, 32));
	}
}

static void name_fault(struct module *m, uint32_t at, uint32_t len, const char *words,
		       uint64_t number, const char *after)
{
	if (m->b.bad) {
		return;
	}
	pp_binary_fault(&m->b, "export '");
	pp_binary_tell(&m->b, at, len, m->b.why);
	pp_words_add(m->b.why, words);
	pp_words_number(m->b.why, number);
	pp_words_add(m->b.why, after);
}

static void read_exports(struct module *m)
{
	const uint32_t count = pp_binary_count(&m->b, MAX_EXPORTS, "exports");

	for (uint32_t i = 0; i < count && !m->b.bad; i++) {
		uint32_t len;
		const uint32_t at = pp_binary_name(&m->b, &len);
		const uint8_t kind = pp_binary_byte(&m->b);
		const uint32_t index = (uint32_t)pp_binary_unsigned(&m->b, 32);

		if (kind > 4) {
			name_fault(m, at, len, "' is of unknown kind ", kind, "");
		}
		if (kind != 0 || m->b.bad) {
			continue;
		}
		if (index >= m->imported + m->functions) {
			name_fault(m, at, len, "' names function ", index, ", which does not exist");
			return;
		}
		if (m->exported++ < SHOWN) {
			pp_words_add(m->there, m->exported > 1 ? ", " : "");
			pp_binary_tell(&m->b, at, len, m->there);
		}
		if (!m->found && pp_binary_is(&m->b, at, len, m->guest->entrypoint)) {
			m->found = true;
			m->entry = index;
		}
	}
}

static void finish(struct module *m, const char *what)
{
	if (m->b.at != m->b.end) {
		number_fault(m, "", m->b.end - m->b.at, " bytes too many in the ");
		pp_words_add(m->b.why, m->b.bad ? what : "");
		pp_words_add(m->b.why, " section");
	}
}

static void section(struct module *m, uint8_t number)
{
	int64_t params;
	uint32_t count;

	switch (number) {
	case 1:
		m->types_at = m->b.at;
		m->types_end = m->b.end;
		walk_types(m, pp_binary_count(&m->b, MAX_COUNT, "types"), UINT32_MAX, &params);
		break;
	case 2:
		m->imports_end = m->b.end;
		read_imports(m);
		break;
	case 3:
		m->functions_end = m->b.end;
		read_functions(m);
		break;
	case 5:
		count = pp_binary_count(&m->b, MAX_MEMORIES, "memories");
		for (uint32_t i = 0; i < count && !m->b.bad; i++) {
			memory(m);
		}
		break;
	case 7:
		read_exports(m);
		break;
	default:
		return;
	}
	if (!m->b.bad) {
		static const char *const names[] = {"",       "type",   "import", "function",
						    "",       "memory", "",       "export"};

		finish(m, names[number]);
	}
}

/* Where each known section must stand; 0: unknown. Custom ones (0) may be anywhere. */
static uint8_t order_of(uint8_t number)
{
	static const uint8_t order[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 12, 13, 11, 6};

	return number < sizeof order ? order[number] : 0;
}

static void read_sections(struct module *m)
{
	const uint32_t end = m->b.end;
	uint8_t place = 0;

	while (m->b.at < end && !m->b.bad) {
		const uint8_t number = pp_binary_byte(&m->b);
		const uint32_t size = pp_binary_part(&m->b);
		const uint32_t after = m->b.at + size;

		if (m->b.bad) {
			return;
		}
		if (number != 0) {
			if (order_of(number) == 0) {
				number_fault(m, "unknown section ", number, "");
				return;
			}
			if (order_of(number) <= place) {
				number_fault(m, "section ", number, " stands twice or out of order");
				return;
			}
			place = order_of(number);
			m->b.end = after;
			section(m, number);
			m->b.end = end;
		}
		m->b.at = after;
	}
}

static bool read_header(struct module *m)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t head[8] = {0};
	uint32_t len = m->b.end < 8 ? m->b.end : 8;

	for (uint32_t i = 0; i < len; i++) {
		head[i] = pp_binary_byte(&m->b);
	}
	if (memcmp(head, "\0asm", 4) != 0) {
		m->b.bad = true;
		pp_words_add(m->b.why, "not a WebAssembly module: not_wasm: ");
		pp_words_add(m->b.why, len == 0 ? "the file is empty" : "starts with ");
		for (uint32_t i = 0; len > 0 && i < 4 && i < len; i++) {
			const char hex[3] = {digits[head[i] >> 4], digits[head[i] & 15], 0};

			pp_words_add(m->b.why, hex);
		}
		pp_words_add(m->b.why, len == 0 ? "" : ", not with 0061736d");
		return false;
	}
	if (memcmp(head + 4, "\x0d\0\x01\0", 4) == 0) {
		m->b.bad = true;
		pp_words_add(m->b.why,
			     "is a component; this proplet runs core modules and WASI preview 1");
		return false;
	}
	if (memcmp(head + 4, "\x01\0\0\0", 4) != 0) {
		pp_binary_fault(&m->b, "version word ");
		for (uint32_t i = 4; i < len; i++) {
			const char hex[3] = {digits[head[i] >> 4], digits[head[i] & 15], 0};

			pp_words_add(m->b.why, hex);
		}
		pp_words_add(m->b.why, " is neither a core module nor a component");
		return false;
	}
	return true;
}

/* -- the verdict -------------------------------------------------------------------------------- */

/* Where a guest trains, what is called takes no arguments. */
static bool may_train(struct module *m, struct pp_words *why)
{
	const int64_t params = params_of(m, m->entry);

	if (!m->b.bad && params != 0) {
		pp_words_text(why, m->guest->entrypoint);
		pp_words_add(why, " takes no arguments where it trains");
	}
	return !m->b.bad && params == 0;
}

/* Whether it reads or drives something of the device and is granted nothing for that. */
static bool is_blind(const struct module *m, struct pp_words *why)
{
	const struct pp_view entry = {m->guest->entry, m->guest->entry_len};
	struct pp_items items;
	struct pp_view item;
	bool reads = false, writes = false;

	if (!m->reads && !m->writes) {
		return false;
	}
	for (items = pp_items(pp_field(entry, PP_ENTRY_POINTS)); pp_next(&items, &item);) {
		reads = reads || pp_has(item, PP_WIRE_POINT_READ);
		writes = writes || pp_has(item, PP_WIRE_POINT_WRITE);
	}
	if (m->reads && !reads) {
		pp_words_add(why, "needs " READS " and is granted no sensor (run.points)");
		return true;
	}
	if (m->writes && !writes) {
		pp_words_add(why, "needs " WRITES " and is granted no output (run.points)");
		return true;
	}
	return false;
}

static bool judge(struct module *m, struct pp_words *why)
{
	const struct proplet_guest *const guest = m->guest;

	if (m->missing > 0) {
		pp_words_add(why, "needs an import nobody here provides: ");
		pp_words_text(why, pp_words_all(&m->lacking));
		return false;
	}
	if (guest->memory != PROPLET_UNLIMITED && m->memory_min > guest->memory) {
		pp_words_add(why, "needs ");
		pp_words_number(why, m->memory_min);
		pp_words_add(why, " bytes of memory to start, its limit is ");
		pp_words_number(why, guest->memory);
		return false;
	}
	if (!m->found) {
		pp_words_add(why, "exports no function '");
		pp_words_text(why, guest->entrypoint);
		pp_words_add(why, "'; it exports: ");
		pp_words_text(why, m->exported == 0 ? pp_words_of("none") : pp_words_all(m->there));
		return false;
	}
	if (is_blind(m, why)) {
		return false;
	}
	if (guest->trains) {
		return may_train(m, why);
	}
	if (m->trains) {
		pp_words_add(why, "needs " FL ", which only a FederatedTask offers");
		return false;
	}
	if (guest->entrypoint.len == 6 && memcmp(guest->entrypoint.at, "_start", 6) == 0 &&
	    params_of(m, m->entry) != 0) {
		if (!m->b.bad) {
			pp_words_add(why, "_start takes no arguments in WASI");
		}
		return false;
	}
	return true;
}

static PP_APART bool admit(struct module *m, struct pp_words *why)
{
	struct pp_words there;

	pp_words_init(&there);
	m->there = &there;
	if (read_header(m)) {
		read_sections(m);
	}
	return !m->b.bad && judge(m, why);
}

bool pp_admit(const struct proplet_port *port, const struct proplet_engine *engine,
	      const struct proplet_guest *guest, struct pp_words *why)
{
	struct module m;

	if (guest->aot) {
		return pp_admit_aot(port, engine, guest, why);
	}
	memset(&m, 0, sizeof m);
	pp_words_init(why);
	pp_words_init(&m.lacking);
	pp_binary_init(&m.b, port, guest->module, guest->module_size, why);
	m.engine = engine;
	m.guest = guest;
	return admit(&m, why);
}
