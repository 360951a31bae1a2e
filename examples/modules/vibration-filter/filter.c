/*
 * Watches a vibration sensor: takes a window of samples, prints its RMS and peak, sleeps, repeats.
 *
 * With --input FILE the samples are integers in milli-g, one a line; without it they are made here
 * (a rotating shaft with some bearing noise), the same on every run, so that the example needs no
 * hardware. Integer arithmetic only: two machines print the same numbers.
 *
 *   --window N      samples a window (default 256, at most 4096)
 *   --period-ms N   pause between windows (default 2000)
 *   --windows N     stop after N windows (default 0: never)
 *   --alarm N       RMS in milli-g from which a window is called an alarm (default 900)
 *   --input FILE    read samples from FILE, again from its start in every window
 *
 * Exit: 0 after the last window, 2 for a bad argument, 3 when FILE can't be read.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_WINDOW = 4096, MAX_LINE = 64 };

struct options {
	long window;
	long period_ms;
	long windows;
	long alarm;
	const char *input;
};

struct reading {
	uint32_t rms;
	uint32_t peak;
	size_t samples;
};

/* One turn of the shaft in 16 samples: round(1000 * sin(2 * pi * k / 16)). */
static const int16_t SHAFT[16] = {0,  383,	707,  924,	1000,  924,  707,  383,
				  0, -383, -707, -924, -1000, -924, -707, -383};

/* A linear congruential generator: noise that is the same everywhere, in [-range, range]. */
static int32_t noise(uint32_t *state, int32_t range)
{
	*state = *state * 1664525u + 1013904223u;
	return (int32_t)((*state >> 8) % (uint32_t)(2 * range + 1)) - range;
}

static void make_samples(int32_t *samples, size_t count, uint32_t *state)
{
	for (size_t i = 0; i < count; i++) {
		samples[i] = SHAFT[i % 16] + noise(state, 150);
	}
}

/* Reads up to `count` samples. Gives how many there were, or -1 when the file can't be opened. */
static long read_samples(const char *path, int32_t *samples, size_t count)
{
	char line[MAX_LINE];
	size_t seen = 0;
	FILE *file = fopen(path, "r");

	if (file == NULL) {
		return -1;
	}
	while (seen < count && fgets(line, sizeof line, file) != NULL) {
		char *end;
		long value = strtol(line, &end, 10);

		if (end != line && value >= -1000000 && value <= 1000000) {
			samples[seen++] = (int32_t)value;
		}
	}
	fclose(file);
	return (long)seen;
}

/* The largest integer whose square is at most `n`. */
static uint32_t square_root(uint64_t n)
{
	uint64_t root = 0;

	for (uint64_t bit = (uint64_t)1 << 62; bit != 0; bit >>= 2) {
		if (n >= root + bit) {
			n -= root + bit;
			root = (root >> 1) + bit;
		} else {
			root >>= 1;
		}
	}
	return (uint32_t)root;
}

static struct reading measure(const int32_t *samples, size_t count)
{
	struct reading out = {0, 0, count};
	uint64_t squares = 0;

	for (size_t i = 0; i < count; i++) {
		uint32_t size = (uint32_t)(samples[i] < 0 ? -samples[i] : samples[i]);

		squares += (uint64_t)size * size;
		if (size > out.peak) {
			out.peak = size;
		}
	}
	if (count > 0) {
		out.rms = square_root(squares / count);
	}
	return out;
}

static int take_number(const char *text, long low, long high, long *out)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (end == text || *end != '\0' || value < low || value > high) {
		return 0;
	}
	*out = value;
	return 1;
}

static int take_options(int argc, char **argv, struct options *out)
{
	for (int i = 1; i < argc; i += 2) {
		const char *name = argv[i];
		const char *value = i + 1 < argc ? argv[i + 1] : "";
		int good;

		if (strcmp(name, "--window") == 0) {
			good = take_number(value, 1, MAX_WINDOW, &out->window);
		} else if (strcmp(name, "--period-ms") == 0) {
			good = take_number(value, 1, 86400000, &out->period_ms);
		} else if (strcmp(name, "--windows") == 0) {
			good = take_number(value, 0, 1000000000, &out->windows);
		} else if (strcmp(name, "--alarm") == 0) {
			good = take_number(value, 1, 1000000, &out->alarm);
		} else if (strcmp(name, "--input") == 0) {
			out->input = value;
			good = *value != '\0';
		} else {
			fprintf(stderr, "vibration-filter: unknown argument %s\n", name);
			return 0;
		}
		if (!good) {
			fprintf(stderr, "vibration-filter: %s: bad value \"%s\"\n", name, value);
			return 0;
		}
	}
	return 1;
}

static void pause_ms(long ms)
{
	struct timespec wait = {ms / 1000, (ms % 1000) * 1000000L};

	nanosleep(&wait, NULL);
}

int main(int argc, char **argv)
{
	static int32_t samples[MAX_WINDOW];
	struct options options = {256, 2000, 0, 900, NULL};
	uint32_t state = 1;

	if (!take_options(argc, argv, &options)) {
		return 2;
	}
	for (long done = 0; options.windows == 0 || done < options.windows; done++) {
		long count = options.window;

		if (done > 0) {
			pause_ms(options.period_ms);
		}
		if (options.input == NULL) {
			make_samples(samples, (size_t)count, &state);
		} else {
			count = read_samples(options.input, samples, (size_t)count);
			if (count < 0) {
				fprintf(stderr, "vibration-filter: cannot read %s\n", options.input);
				return 3;
			}
		}

		struct reading seen = measure(samples, (size_t)count);

		printf("rms=%u peak=%u samples=%lu state=%s\n", (unsigned)seen.rms, (unsigned)seen.peak,
		       (unsigned long)seen.samples, seen.rms >= (uint32_t)options.alarm ? "alarm" : "ok");
		fflush(stdout);
	}
	return 0;
}
