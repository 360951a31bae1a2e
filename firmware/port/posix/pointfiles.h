/*
 * Sensors and outputs of the posix port: files of one number, as the kernel's hwmon, iio, thermal and
 * leds have them. The texts are those of the Linux proplet: NAME=FILE scale=0.001 rate=10, of an output
 * min, max and safe too; paths have no blanks here.
 */
#ifndef PROPLET_POSIX_POINTS_H
#define PROPLET_POSIX_POINTS_H

#include "points.h"

struct points {
	struct proplet_point list[PROPLET_POINTS_MAX];
	const char *files[PROPLET_POINTS_MAX];
	const char *offered[PROPLET_POINTS_MAX]; /* as hello names them: `relay:w` */
	struct proplet_points slots;
};

/* One more. False, and words, where the text is none or there are too many. The text is kept. */
bool points_add(struct points *points, bool output, const char *text, const char **why);

/* Leaves out those whose file is not there, with a word on stderr, and fills `slots`. */
void points_open(struct points *points);

#endif
