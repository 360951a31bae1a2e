/*
 * The steps of a shift report in one program; the first argument says which.
 *
 *   sample N SEED   N readings of a made-up sensor, one `vibration VALUE` a line
 *   clean           standard input without readings further than 5 times the median deviation
 *                   from the median
 *   peak            the largest reading of standard input
 *   alarm PEAK      a line for the people on the floor
 *   summary         one line of JSON: readings of standard input, PEAK and ALARM of the environment
 *
 * Values are hundredths of mm/s, integers throughout. Exit: 0, or 2 when called wrongly or when
 * standard input cannot be understood.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 4096, USAGE = 2 };

static int values[MOST];

static int by_value(const void *left, const void *right)
{
	int a = *(const int *)left, b = *(const int *)right;

	return (a > b) - (a < b);
}

static int fail(const char *why)
{
	fprintf(stderr, "shift: %s\n", why);
	return -1;
}

/* Reads `vibration VALUE` lines into values; their number, or -1. */
static int readings(void)
{
	char line[64];
	int count = 0;

	while (fgets(line, sizeof line, stdin) != NULL) {
		if (count == MOST)
			return fail("more than 4096 readings");
		if (sscanf(line, "vibration %d", &values[count]) != 1)
			return fail("a line is not `vibration VALUE`");
		count++;
	}
	return count;
}

static int median(const int *from, int count)
{
	static int sorted[MOST];

	memcpy(sorted, from, (size_t)count * sizeof *from);
	qsort(sorted, (size_t)count, sizeof *sorted, by_value);
	return sorted[count / 2];
}

/* Linear congruential, so that one seed gives one series everywhere (Numerical Recipes' ranqd1). */
static int sample(int count, unsigned int seed)
{
	int drift = 0;

	if (count < 0 || count > MOST)
		return fail("N is from 0 to 4096");
	for (int i = 0; i < count; i++) {
		seed = seed * 1664525u + 1013904223u;
		drift += i % 50 == 49 ? 12 : 0;
		int value = 300 + drift + (int)(seed >> 25);

		if ((seed >> 8 & 63u) == 0u)
			value += 5000; /* a loose cable */
		printf("vibration %d\n", value);
	}
	return 0;
}

static int clean(void)
{
	static int away[MOST];
	int count = readings(), middle, spread;

	if (count <= 0)
		return count;
	middle = median(values, count);
	for (int i = 0; i < count; i++)
		away[i] = abs(values[i] - middle);
	spread = median(away, count);
	for (int i = 0; i < count; i++)
		if (away[i] <= 5 * spread)
			printf("vibration %d\n", values[i]);
	return 0;
}

static int peak(void)
{
	int count = readings(), most = 0;

	for (int i = 0; i < count; i++)
		most = values[i] > most ? values[i] : most;
	if (count >= 0)
		printf("%d\n", most);
	return count < 0 ? -1 : 0;
}

static int summary(void)
{
	int count = readings();
	const char *most = getenv("PEAK"), *alarm = getenv("ALARM");

	if (count < 0)
		return -1;
	printf("{\"readings\":%d,\"median\":%d,\"peak\":%s,\"alarm\":%s}\n", count,
	       count > 0 ? median(values, count) : 0, most != NULL && *most != '\0' ? most : "null",
	       alarm != NULL && *alarm != '\0' ? "true" : "false");
	return 0;
}

int main(int argc, char **argv)
{
	const char *step = argc > 1 ? argv[1] : "";
	int done = -1;

	if (strcmp(step, "sample") == 0 && argc == 4)
		done = sample(atoi(argv[2]), (unsigned int)strtoul(argv[3], NULL, 10));
	else if (strcmp(step, "clean") == 0)
		done = clean();
	else if (strcmp(step, "peak") == 0)
		done = peak();
	else if (strcmp(step, "alarm") == 0 && argc == 3)
		done = printf("vibration peaks at %s: look at the bearing\n", argv[2]) < 0 ? -1 : 0;
	else if (strcmp(step, "summary") == 0)
		done = summary();
	else
		done = fail("usage: sample N SEED | clean | peak | alarm PEAK | summary");
	return done == 0 ? 0 : USAGE;
}
