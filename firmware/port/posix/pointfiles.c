/* See pointfiles.h. */
#define _POSIX_C_SOURCE 200809L
#include "pointfiles.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_MOST 64
#define NUMBER_MOST 64
#define RATE_MOST 1000
#define LARGEST 9007199254740992.0 /* 2^53: whole numbers beyond are no longer exact */

static bool is_name(const char *text, size_t len)
{
	static const char more[] = "._-";

	for (size_t i = 0; i < len; i++) {
		const char c = text[i];
		const bool plain = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');

		if (!plain && (i == 0 || strchr(more, c) == NULL)) {
			return false;
		}
	}
	return len > 0 && len <= NAME_MOST;
}

/* A decimal number and nothing behind it but blanks or words. */
static bool read_decimal(const char *text, bool whole, double *value)
{
	char *end;

	*value = strtod(text, &end);
	/* Nothing hexadecimal, whatever strtod takes. */
	return end != text && strcspn(text, "xX") >= (size_t)(end - text) && isfinite(*value) &&
	       (*end == '\0' || (!whole && strchr(" \t\r\n", *end) != NULL));
}

static bool take_word(struct proplet_point *point, bool *safe, const char *word)
{
	const struct {
		const char *key;
		double *to;
		bool output;
	} numbers[] = {{"scale=", &point->scale, false}, {"offset=", &point->offset, false},
		       {"min=", &point->low, true},      {"max=", &point->high, true},
		       {"safe=", &point->safe, true}};
	double rate;

	if (strncmp(word, "unit=", 5) == 0) {
		return true; /* for people */
	}
	if (strncmp(word, "rate=", 5) == 0) {
		if (!read_decimal(word + 5, true, &rate) || rate < 1 || rate > RATE_MOST ||
		    rate != floor(rate)) {
			return false;
		}
		point->rate = (uint16_t)rate;
		return true;
	}
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		const size_t len = strlen(numbers[i].key);

		if (strncmp(word, numbers[i].key, len) == 0) {
			*safe = *safe || numbers[i].to == &point->safe;
			return (point->output || !numbers[i].output) &&
			       read_decimal(word + len, true, numbers[i].to);
		}
	}
	return false;
}

static bool read_words(struct proplet_point *point, char *rest, const char **why)
{
	bool safe = false;
	char *left = NULL;

	for (char *word = strtok_r(rest, " \t", &left); word != NULL;
	     word = strtok_r(NULL, " \t", &left)) {
		if (!take_word(point, &safe, word)) {
			*why = "a word is none of scale=, offset=, rate=, unit=, of an output min=, max=,"
			       " safe=, or not one it may be";
			return false;
		}
	}
	point->safe = safe ? point->safe : point->low;
	if (point->scale == 0) {
		*why = "scale must not be 0";
		return false;
	}
	if (point->output && !(point->low <= point->safe && point->safe <= point->high)) {
		*why = "safe is not between min and max";
		return false;
	}
	return true;
}

bool points_add(struct points *points, bool output, const char *text, const char **why)
{
	const size_t at = points->slots.count;
	struct proplet_point *const point = &points->list[at];
	char *const name = strdup(text);
	char *file, *rest;

	*why = "wanted NAME=/FILE and words such as scale=0.001";
	if (name == NULL || (file = strchr(name, '=')) == NULL ||
	    !is_name(name, (size_t)(file - name)) || file[1] != '/') {
		free(name);
		return false;
	}
	*file++ = '\0';
	if (at == PROPLET_POINTS_MAX) {
		*why = "too many";
		free(name);
		return false;
	}
	for (size_t i = 0; i < at; i++) {
		if (strcmp(points->list[i].name, name) == 0) {
			*why = "a name is given twice";
			free(name);
			return false;
		}
	}
	rest = file + strcspn(file, " \t");
	if (*rest != '\0') {
		*rest++ = '\0';
	}
	*point = (struct proplet_point){
		.name = name, .output = output, .rate = RATE_MOST, .scale = 1, .high = 1};
	if (!read_words(point, rest, why)) {
		free(name);
		return false;
	}
	points->files[at] = file;
	points->slots.count++;
	return true;
}

/* Nothing here waits for a pipe or a device that has nothing to say. */
static bool read_number(void *ctx, size_t at, double *raw)
{
	const struct points *const points = ctx;
	const int handle =
		open(points->files[at], O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	char text[NUMBER_MOST + 1];
	ssize_t size;

	if (handle < 0) {
		return false;
	}
	size = read(handle, text, NUMBER_MOST);
	close(handle);
	if (size <= 0) {
		return false;
	}
	text[size] = '\0';
	return read_decimal(text, false, raw);
}

static bool write_number(void *ctx, size_t at, double raw)
{
	const struct points *const points = ctx;
	char text[NUMBER_MOST];
	int handle, size;
	bool fine;

	raw = rint(raw);
	if (!(fabs(raw) <= LARGEST)) {
		return false;
	}
	handle = open(points->files[at], O_WRONLY | O_TRUNC | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (handle < 0) {
		return false;
	}
	size = snprintf(text, sizeof(text), "%lld\n", (long long)raw);
	fine = write(handle, text, (size_t)size) == size;
	close(handle);
	return fine;
}

void points_open(struct points *points)
{
	size_t kept = 0;

	for (size_t i = 0; i < points->slots.count; i++) {
		const struct proplet_point point = points->list[i];
		char *offered = NULL;
		size_t size;

		if (access(points->files[i], F_OK) != 0) {
			fprintf(stderr, "proplet-posix: point %s is not offered: %s: %s\n", point.name,
				points->files[i], strerror(errno));
			continue;
		}
		size = strlen(point.name) + 3;
		offered = malloc(size);
		if (offered == NULL) {
			abort();
		}
		snprintf(offered, size, "%s%s", point.name, point.output ? ":w" : "");
		points->list[kept] = point;
		points->files[kept] = points->files[i];
		points->offered[kept++] = offered;
	}
	points->slots = (struct proplet_points){.ctx = points,
						.list = points->list,
						.count = kept,
						.read = read_number,
						.write = write_number};
}
