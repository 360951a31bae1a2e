/* WASI preview 1, the part a device has: see natives.h. */
#include "natives.h"

#include <string.h>

#include "calls.h"
#ifdef PROPLET_POINTS
#include "propeller.h"
#endif
#ifdef PROPLET_FL
#include "../fl/imports.h"
/* A guest that trains sees no clock, chance or waiting but those of its round. */
#define IN_A_ROUND(call, function)                                                                 \
	if ((call)->job->lesson != NULL) {                                                         \
		return function(call);                                                             \
	}
#else
#define IN_A_ROUND(call, function)
#endif

#define MODULE "wasi_snapshot_preview1"

enum { SUCCESS = 0, BADF = 8, FAULT = 21, INVAL = 28, IO = 29, NOSYS = 52 };

#define IOVECS_MAX 64
#define RANDOM_MAX (1U << 20)
#define WAITS_MAX 64
#define NS_MS 1000000
#define WAIT_MAX_MS ((int64_t)1 << 40)

uint8_t *proplet_at(struct proplet_linear memory, uint64_t at, uint64_t size)
{
	if (memory.data == NULL || at > memory.size || size > memory.size - at) {
		return NULL;
	}
	return memory.data + at;
}

bool proplet_over(struct proplet_job *job)
{
	if (atomic_load(&job->asked) != 0) {
		return true;
	}
	if (job->timeout != PROPLET_UNLIMITED &&
	    job->now_ms(job->context) - job->began >= (int64_t)job->timeout) {
		int none = 0;
		atomic_compare_exchange_strong(&job->asked, &none, (int)PROPLET_END_TIMEOUT);
		return true;
	}
	return false;
}

static bool store32(const struct proplet_call *call, uint32_t address, uint64_t value)
{
	uint8_t *to = at(call, address, 4);

	if (to == NULL) {
		return false;
	}
	put(to, value, 4);
	return true;
}

static enum proplet_after answer(struct proplet_call *call, uint32_t error)
{
	call->result = error;
	return PROPLET_GO_ON;
}

static enum proplet_after end_asked(struct proplet_call *call)
{
	call->job->left = true;
	call->job->why = (enum proplet_end)atomic_load(&call->job->asked);
	return PROPLET_LEAVE;
}

/* -- arguments and environment ------------------------------------------------------------- */

/* Text number `i`: argv[0] is the name, where `args`. NULL past the last. */
static const char *text_of(const struct proplet_job *job, bool args, size_t i)
{
	if (!args) {
		return i < job->env_count ? job->env[i] : NULL;
	}
	if (i == 0) {
		return job->name;
	}
	if (strcmp(job->entrypoint, "_start") != 0) {
		return NULL;
	}
	return i - 1 < job->args_count ? job->args[i - 1] : NULL;
}

static enum proplet_after sizes(struct proplet_call *call, bool args)
{
	uint64_t count = 0;
	uint64_t bytes = 0;
	const char *text;

	while ((text = text_of(call->job, args, (size_t)count)) != NULL) {
		bytes += strlen(text) + 1;
		count++;
	}
	if (!store32(call, arg(call, 0), count) || !store32(call, arg(call, 1), bytes)) {
		return answer(call, FAULT);
	}
	return answer(call, SUCCESS);
}

static enum proplet_after texts(struct proplet_call *call, bool args)
{
	uint64_t pointers = arg(call, 0);
	uint64_t buffer = arg(call, 1);
	const char *text;

	for (size_t i = 0; (text = text_of(call->job, args, i)) != NULL; i++) {
		size_t size = strlen(text) + 1;
		uint8_t *pointer = at(call, pointers + 4 * (uint64_t)i, 4);
		uint8_t *to = at(call, buffer, size);

		if (pointer == NULL || to == NULL) {
			return answer(call, FAULT);
		}
		put(pointer, buffer, 4);
		memcpy(to, text, size);
		buffer += size;
	}
	return answer(call, SUCCESS);
}

static enum proplet_after args_sizes_get(struct proplet_call *call)
{
	return sizes(call, true);
}

static enum proplet_after args_get(struct proplet_call *call)
{
	return texts(call, true);
}

static enum proplet_after environ_sizes_get(struct proplet_call *call)
{
	return sizes(call, false);
}

static enum proplet_after environ_get(struct proplet_call *call)
{
	return texts(call, false);
}

/* -- streams ------------------------------------------------------------------------------- */

static enum proplet_after fd_write(struct proplet_call *call)
{
	uint32_t fd = arg(call, 0);
	uint64_t vectors = arg(call, 1);
	uint32_t count = arg(call, 2);
	uint64_t wrote = 0;

	if (fd != 1 && fd != 2) {
		return answer(call, BADF);
	}
	if (proplet_over(call->job)) {
		return end_asked(call);
	}
	for (uint32_t i = 0; i < count && i < IOVECS_MAX; i++) {
		const uint8_t *vector = at(call, vectors + 8 * (uint64_t)i, 8);
		const uint8_t *data;
		uint64_t size;

		if (vector == NULL) {
			return answer(call, FAULT);
		}
		size = get(vector + 4, 4);
		data = at(call, get(vector, 4), size);
		if (data == NULL) {
			return answer(call, FAULT);
		}
		if (size > 0 &&
		    !call->job->write(call->job->context, (int)fd, data, (size_t)size)) {
			call->job->left = true;
			call->job->why = PROPLET_END_OUTPUT;
			return PROPLET_LEAVE;
		}
		wrote += size;
	}
	return answer(call, store32(call, arg(call, 3), wrote) ? SUCCESS : FAULT);
}

static enum proplet_after fd_read(struct proplet_call *call)
{
	struct proplet_job *job = call->job;
	uint64_t vectors = arg(call, 1);
	uint32_t count = arg(call, 2);
	uint64_t took = 0;

	if (arg(call, 0) != 0) {
		return answer(call, BADF);
	}
	for (uint32_t i = 0; i < count && i < IOVECS_MAX; i++) {
		const uint8_t *vector = at(call, vectors + 8 * (uint64_t)i, 8);
		size_t left = job->stdin_size - job->stdin_read;
		uint64_t size;
		uint8_t *to;

		if (vector == NULL) {
			return answer(call, FAULT);
		}
		size = get(vector + 4, 4);
		to = at(call, get(vector, 4), size);
		if (to == NULL) {
			return answer(call, FAULT);
		}
		if (size > left) {
			size = left;
		}
		if (size > 0) {
			memcpy(to, job->stdin_data + job->stdin_read, (size_t)size);
			job->stdin_read += (size_t)size;
			took += size;
		}
	}
	return answer(call, store32(call, arg(call, 3), took) ? SUCCESS : FAULT);
}

static enum proplet_after fd_fdstat_get(struct proplet_call *call)
{
	enum { CHARACTER_DEVICE = 2, READ = 2, WRITE = 64 };
	uint8_t *to = at(call, arg(call, 1), 24);
	uint32_t fd = arg(call, 0);

	if (fd > 2) {
		return answer(call, BADF);
	}
	if (to == NULL) {
		return answer(call, FAULT);
	}
	memset(to, 0, 24);
	to[0] = CHARACTER_DEVICE;
	put(to + 8, fd == 0 ? READ : WRITE, 8);
	return answer(call, SUCCESS);
}

static enum proplet_after of_stream(struct proplet_call *call)
{
	return answer(call, arg(call, 0) <= 2 ? SUCCESS : BADF);
}

static enum proplet_after no_seek(struct proplet_call *call)
{
	enum { SPIPE = 70 };

	return answer(call, arg(call, 0) <= 2 ? SPIPE : BADF);
}

static enum proplet_after fd_filestat_get(struct proplet_call *call)
{
	uint8_t *to = at(call, arg(call, 1), 64);

	if (arg(call, 0) > 2) {
		return answer(call, BADF);
	}
	if (to == NULL) {
		return answer(call, FAULT);
	}
	memset(to, 0, 64);
	to[16] = 2; /* a character device */
	return answer(call, SUCCESS);
}

static enum proplet_after no_file(struct proplet_call *call)
{
	return answer(call, BADF);
}

static enum proplet_after no_such(struct proplet_call *call)
{
	return answer(call, NOSYS);
}

/* -- time, chance, leaving ----------------------------------------------------------------- */

static enum proplet_after clock_time_get(struct proplet_call *call)
{
	struct proplet_job *job = call->job;
	uint8_t *to = at(call, arg(call, 2), 8);
	uint32_t clock = arg(call, 0);
	int64_t ms;

	IN_A_ROUND(call, proplet_fl_time)
	if (clock > 3) {
		return answer(call, INVAL);
	}
	if (to == NULL) {
		return answer(call, FAULT);
	}
	ms = clock == 0 ? job->wall_ms(job->context) : job->now_ms(job->context);
	put(to, (uint64_t)(ms < 0 ? 0 : ms) * NS_MS, 8);
	return answer(call, SUCCESS);
}

static enum proplet_after clock_res_get(struct proplet_call *call)
{
	uint8_t *to = at(call, arg(call, 1), 8);

	IN_A_ROUND(call, proplet_fl_resolution)
	if (arg(call, 0) > 3) {
		return answer(call, INVAL);
	}
	if (to == NULL) {
		return answer(call, FAULT);
	}
	put(to, NS_MS, 8);
	return answer(call, SUCCESS);
}

static enum proplet_after random_get(struct proplet_call *call)
{
	struct proplet_job *job = call->job;
	uint32_t size = arg(call, 1);
	uint8_t *to = at(call, arg(call, 0), size);

	IN_A_ROUND(call, proplet_fl_random)
	if (size > RANDOM_MAX) {
		return answer(call, INVAL);
	}
	if (to == NULL) {
		return answer(call, FAULT);
	}
	return answer(call, job->random(job->context, to, size) ? SUCCESS : IO);
}

static enum proplet_after sched_yield_(struct proplet_call *call)
{
	return proplet_over(call->job) ? end_asked(call) : answer(call, SUCCESS);
}

static enum proplet_after proc_exit(struct proplet_call *call)
{
	call->job->left = true;
	call->job->why = PROPLET_END_RETURNED;
	call->job->exit = (int32_t)arg(call, 0);
	return PROPLET_LEAVE;
}

/* Sleeps in pieces until `due` (by now_ms), so that somebody's word ends it soon. */
static bool sleep_until(struct proplet_job *job, int64_t due)
{
	enum { PIECE_MS = 50 };

	for (;;) {
		int64_t left = due - job->now_ms(job->context);

		if (proplet_over(job)) {
			return false;
		}
		if (left <= 0) {
			return true;
		}
		job->wait(job->context, left < PIECE_MS ? left : PIECE_MS);
	}
}

/* When subscription `from` is due, by now_ms; -1 where it is a stream, which is ready at once. */
static int64_t due_of(struct proplet_job *job, const uint8_t *from, int64_t now)
{
	uint64_t timeout_ms = get(from + 24, 8) / NS_MS + (get(from + 24, 8) % NS_MS != 0);
	bool absolute = (get(from + 40, 2) & 1) != 0;
	int64_t base = now;

	if (from[8] != 0) {
		return -1;
	}
	if (timeout_ms > (uint64_t)WAIT_MAX_MS) {
		timeout_ms = (uint64_t)WAIT_MAX_MS;
	}
	if (absolute) {
		base = get(from + 16, 4) == 0 ? now - job->wall_ms(job->context) : 0;
	}
	return base + (int64_t)timeout_ms < now ? now : base + (int64_t)timeout_ms;
}

static void tell_event(uint8_t *to, const uint8_t *subscription)
{
	memset(to, 0, 32);
	memcpy(to, subscription, 8);
	to[10] = subscription[8];
}

static enum proplet_after poll_oneoff(struct proplet_call *call)
{
	enum { SUBSCRIPTION = 48, EVENT = 32 };
	struct proplet_job *job = call->job;
	uint32_t count = arg(call, 2);
	const uint8_t *from = at(call, arg(call, 0), SUBSCRIPTION * (uint64_t)count);
	uint8_t *to = at(call, arg(call, 1), EVENT * (uint64_t)count);
	int64_t now = job->now_ms(job->context);
	int64_t first = INT64_MAX;
	uint32_t ready = 0;

	IN_A_ROUND(call, proplet_fl_poll)
	if (count == 0 || count > WAITS_MAX) {
		return answer(call, INVAL);
	}
	if (from == NULL || to == NULL) {
		return answer(call, FAULT);
	}
	for (uint32_t i = 0; i < count; i++) {
		int64_t due = due_of(job, from + (size_t)SUBSCRIPTION * i, now);

		first = due < first ? due : first;
	}
	if (first >= 0 && !sleep_until(job, first)) {
		return end_asked(call);
	}
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *one = from + (size_t)SUBSCRIPTION * i;
		int64_t due = due_of(job, one, now);

		if (due < 0 || (first >= 0 && due <= first)) {
			tell_event(to + (size_t)EVENT * ready++, one);
		}
	}
	return answer(call, store32(call, arg(call, 3), ready) ? SUCCESS : FAULT);
}

/* -- the table ----------------------------------------------------------------------------- */

const struct proplet_native proplet_natives[] = {
	{MODULE, "args_get", "ii:i", args_get},
	{MODULE, "args_sizes_get", "ii:i", args_sizes_get},
	{MODULE, "environ_get", "ii:i", environ_get},
	{MODULE, "environ_sizes_get", "ii:i", environ_sizes_get},
	{MODULE, "clock_res_get", "ii:i", clock_res_get},
	{MODULE, "clock_time_get", "iIi:i", clock_time_get},
	{MODULE, "fd_advise", "iIIi:i", no_file},
	{MODULE, "fd_allocate", "iII:i", no_file},
	{MODULE, "fd_close", "i:i", of_stream},
	{MODULE, "fd_datasync", "i:i", of_stream},
	{MODULE, "fd_fdstat_get", "ii:i", fd_fdstat_get},
	{MODULE, "fd_fdstat_set_flags", "ii:i", of_stream},
	{MODULE, "fd_fdstat_set_rights", "iII:i", of_stream},
	{MODULE, "fd_filestat_get", "ii:i", fd_filestat_get},
	{MODULE, "fd_filestat_set_size", "iI:i", no_file},
	{MODULE, "fd_filestat_set_times", "iIIi:i", no_file},
	{MODULE, "fd_pread", "iiiIi:i", no_seek},
	{MODULE, "fd_prestat_get", "ii:i", no_file},
	{MODULE, "fd_prestat_dir_name", "iii:i", no_file},
	{MODULE, "fd_pwrite", "iiiIi:i", no_seek},
	{MODULE, "fd_read", "iiii:i", fd_read},
	{MODULE, "fd_readdir", "iiiIi:i", no_file},
	{MODULE, "fd_renumber", "ii:i", no_file},
	{MODULE, "fd_seek", "iIii:i", no_seek},
	{MODULE, "fd_sync", "i:i", of_stream},
	{MODULE, "fd_tell", "ii:i", no_seek},
	{MODULE, "fd_write", "iiii:i", fd_write},
	{MODULE, "path_create_directory", "iii:i", no_file},
	{MODULE, "path_filestat_get", "iiiii:i", no_file},
	{MODULE, "path_filestat_set_times", "iiiiIIi:i", no_file},
	{MODULE, "path_link", "iiiiiii:i", no_file},
	{MODULE, "path_open", "iiiiiIIii:i", no_file},
	{MODULE, "path_readlink", "iiiiii:i", no_file},
	{MODULE, "path_remove_directory", "iii:i", no_file},
	{MODULE, "path_rename", "iiiiii:i", no_file},
	{MODULE, "path_symlink", "iiiii:i", no_file},
	{MODULE, "path_unlink_file", "iii:i", no_file},
	{MODULE, "poll_oneoff", "iiii:i", poll_oneoff},
	{MODULE, "proc_exit", "i:", proc_exit},
	{MODULE, "proc_raise", "i:i", no_such},
	{MODULE, "random_get", "ii:i", random_get},
	{MODULE, "sched_yield", ":i", sched_yield_},
	{MODULE, "sock_accept", "iii:i", no_file},
	{MODULE, "sock_recv", "iiiiii:i", no_file},
	{MODULE, "sock_send", "iiiii:i", no_file},
	{MODULE, "sock_shutdown", "ii:i", no_file},
#ifdef PROPLET_FL
	PROPLET_FL_NATIVES,
#endif
#ifdef PROPLET_POINTS
	PROPLET_GUEST_NATIVES,
#endif
};

const size_t proplet_natives_count = sizeof(proplet_natives) / sizeof(proplet_natives[0]);
