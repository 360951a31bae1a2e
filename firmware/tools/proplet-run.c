/*
 * proplet-run ENGINE MODULE [OPTION...] [ENTRY [ARG...]]: one guest by the firmware's engine, on the
 * host, as a device would run it. ENGINE is a path to wasmtime's library, or `wamr`.
 *
 *   --memory BYTES --fuel N --timeout MS --output BYTES --stop-after MS --env NAME=value
 *   --stdin TEXT --times N (at once) --pool BYTES
 *   --sensor NAME=FILE... --output-point NAME=FILE... (as port/posix/pointfiles.h; granted by that name)
 *
 * stdout is the guest's; the end goes to stderr as `END exit=N: text`. Exit: 0 returned, 1 else.
 */
#define _DEFAULT_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "runtime.h"
#ifdef PROPLET_POINTS
#include "pointfiles.h"

static struct points points;

static void add_point(bool output, const char *text)
{
	const char *why = "";

	if (!points_add(&points, output, text, &why)) {
		fprintf(stderr, "%s: %s\n", text, why);
		exit(2);
	}
}

static void grant_all(struct proplet_sense *sense)
{
	sense->points = &points.slots;
	for (; sense->count < points.slots.count && sense->count < PROPLET_GRANTS_MAX; sense->count++) {
		const struct proplet_point *const point = &points.list[sense->count];

		sense->grants[sense->count] = (struct proplet_grant){.name = point->name,
								     .point = (uint8_t)sense->count,
								     .write = point->output,
								     .rate = point->rate,
								     .tokens = point->rate * 1000};
	}
}
#endif

struct world {
	pthread_mutex_t lock;
	uint64_t left;
};

static int64_t clock_ms(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t now_ms(void *context)
{
	(void)context;
	return clock_ms(CLOCK_MONOTONIC);
}

static int64_t wall_ms(void *context)
{
	(void)context;
	return clock_ms(CLOCK_REALTIME);
}

static bool random_bytes(void *context, uint8_t *data, size_t size)
{
	(void)context;
	for (size_t at = 0; at < size; at += 256) {
		if (getentropy(data + at, size - at < 256 ? size - at : 256) != 0) {
			return false;
		}
	}
	return true;
}

static void wait_ms(void *context, int64_t ms)
{
	struct timespec time = {ms / 1000, ms % 1000 * 1000000};

	(void)context;
	nanosleep(&time, NULL);
}

static bool write_out(void *context, int stream, const uint8_t *data, size_t size)
{
	struct world *world = context;
	bool fits;

	pthread_mutex_lock(&world->lock);
	fits = stream != 1 || size <= world->left;
	if (stream == 1) {
		size = fits ? size : (size_t)world->left;
		world->left -= size;
	}
	fwrite(data, 1, size, stream == 1 ? stdout : stderr);
	fflush(stdout);
	pthread_mutex_unlock(&world->lock);
	return fits;
}

static uint8_t *read_whole(const char *path, size_t *size)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data = NULL;
	long end;

	if (file == NULL) {
		return NULL;
	}
	if (fseek(file, 0, SEEK_END) == 0 && (end = ftell(file)) >= 0) {
		rewind(file);
		data = malloc((size_t)end + 1);
		*size = data == NULL ? 0 : fread(data, 1, (size_t)end, file);
	}
	fclose(file);
	return data;
}

struct one {
	struct proplet_runtime *runtime;
	struct proplet_job job;
	struct proplet_outcome out;
#ifdef PROPLET_POINTS
	struct proplet_sense sense;
#endif
	atomic_int done;
	pthread_t thread;
};

static void *run_one(void *given)
{
	struct one *one = given;

	one->runtime->run(one->runtime, &one->job, &one->out);
	atomic_store(&one->done, 1);
	return NULL;
}

static void usage(void)
{
	fprintf(stderr, "usage: proplet-run ENGINE MODULE [OPTION...] [ENTRY [ARG...]]\n");
	exit(2);
}

static struct proplet_runtime *engine_of(const char *name, size_t pool)
{
	char words[200] = "not built in";
	struct proplet_runtime *runtime = NULL;

	if (strcmp(name, "wamr") != 0) {
		runtime = proplet_wasmtime(name, words, sizeof(words));
	} else {
#ifdef PROPLET_WAMR
		runtime = proplet_wamr(malloc(pool), pool);
#else
		(void)pool;
#endif
	}
	if (runtime == NULL) {
		fprintf(stderr, "%s: %s\n", name, words);
		exit(2);
	}
	return runtime;
}

static void watch(struct one *ones, size_t times, int64_t stop_after)
{
	int64_t began = now_ms(NULL);
	bool stopped = false;

	for (size_t i = 0; i < times;) {
		struct proplet_runtime *runtime = ones[i].runtime;

		if (atomic_load(&ones[i].done)) {
			i++;
			continue;
		}
		wait_ms(NULL, 10);
		if (runtime->tick != NULL) {
			runtime->tick(runtime);
		}
		if (!stopped && stop_after > 0 && now_ms(NULL) - began >= stop_after) {
			stopped = true;
			for (size_t each = 0; each < times; each++) {
				runtime->stop(runtime, &ones[each].job, PROPLET_END_STOPPED);
			}
		}
	}
}

int main(int argc, char **argv)
{
	struct world world = {.lock = PTHREAD_MUTEX_INITIALIZER, .left = 65536};
	struct proplet_job job = {.name = "guest",
				  .entrypoint = "_start",
				  .memory = PROPLET_UNLIMITED,
				  .fuel = PROPLET_UNLIMITED,
				  .timeout = PROPLET_UNLIMITED,
				  .output = 65536,
				  .context = &world,
				  .write = write_out,
				  .now_ms = now_ms,
				  .wall_ms = wall_ms,
				  .random = random_bytes,
				  .wait = wait_ms};
	const char *env[16];
	size_t times = 1;
	size_t pool = 4 << 20;
	int64_t stop_after = 0;
	struct proplet_runtime *runtime;
	struct one *ones;
	int at = 3;
	int code = 0;

	if (argc < 3) {
		usage();
	}
	for (; at + 1 < argc && strncmp(argv[at], "--", 2) == 0; at += 2) {
		const char *value = argv[at + 1];
		uint64_t number = strtoull(value, NULL, 10);

		if (strcmp(argv[at], "--memory") == 0) {
			job.memory = number;
		} else if (strcmp(argv[at], "--fuel") == 0) {
			job.fuel = number;
		} else if (strcmp(argv[at], "--timeout") == 0) {
			job.timeout = number;
		} else if (strcmp(argv[at], "--output") == 0) {
			job.output = world.left = number;
		} else if (strcmp(argv[at], "--stop-after") == 0) {
			stop_after = (int64_t)number;
		} else if (strcmp(argv[at], "--times") == 0) {
			times = (size_t)number;
		} else if (strcmp(argv[at], "--pool") == 0) {
			pool = (size_t)number;
		} else if (strcmp(argv[at], "--stdin") == 0) {
			job.stdin_data = (const uint8_t *)value;
			job.stdin_size = strlen(value);
		} else if (strcmp(argv[at], "--env") == 0 && job.env_count < 16) {
			env[job.env_count++] = value;
#ifdef PROPLET_POINTS
		} else if (strcmp(argv[at], "--sensor") == 0) {
			add_point(false, value);
		} else if (strcmp(argv[at], "--output-point") == 0) {
			add_point(true, value);
#endif
		} else {
			usage();
		}
	}
#ifdef PROPLET_POINTS
	points_open(&points);
#endif
	job.env = env;
	if (at < argc) {
		job.entrypoint = argv[at++];
	}
	job.args = (const char *const *)(argv + at);
	job.args_count = (size_t)(argc - at);
	runtime = engine_of(argv[1], pool);
	ones = calloc(times, sizeof(*ones));
	for (size_t i = 0; i < times; i++) {
		ones[i].runtime = runtime;
		ones[i].job = job;
#ifdef PROPLET_POINTS
		grant_all(&ones[i].sense);
		ones[i].job.sense = &ones[i].sense;
#endif
		ones[i].job.module = read_whole(argv[2], &ones[i].job.module_size);
		if (ones[i].job.module == NULL) {
			fprintf(stderr, "%s: cannot be read\n", argv[2]);
			return 2;
		}
		ones[i].job.aot = ones[i].job.module_size > 4 &&
				  memcmp(ones[i].job.module, "\0aot", 4) == 0;
		if (pthread_create(&ones[i].thread, NULL, run_one, &ones[i]) != 0) {
			return 2;
		}
	}
	watch(ones, times, stop_after);
	for (size_t i = 0; i < times; i++) {
		struct proplet_outcome *out = &ones[i].out;

		pthread_join(ones[i].thread, NULL);
		fprintf(stderr, "%s exit=%d: %s\n", proplet_end_word(out->end), (int)out->exit,
			out->text);
		code |= out->end != PROPLET_END_RETURNED;
#ifdef PROPLET_POINTS
		proplet_points_rest(&points.slots, atomic_load(&ones[i].sense.driven));
#endif
		free(ones[i].job.module);
	}
	free(ones);
	runtime->close(runtime);
	return code;
}
