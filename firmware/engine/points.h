/*
 * Sensors and outputs of the device for its guests: `propeller.point_read` and `point_write`, by the
 * names of an entry's grants. A port says what there is and how it is read and driven; the runner
 * grants, paces, and puts an output back to what is safe when its guest ended. With PROPLET_POINTS.
 */
#ifndef PROPLET_POINTS_H
#define PROPLET_POINTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROPLET_POINTS_MAX 32 /* of a device */
#define PROPLET_GRANTS_MAX 16 /* of a guest */

/* value = (raw + offset) * scale; of an output values from low to high, and the one that is safe. */
struct proplet_point {
	const char *name;
	bool output;
	uint16_t rate; /* reads or writes a second that one guest may do */
	double scale, offset, low, high, safe;
};

struct proplet_points {
	void *ctx;
	const struct proplet_point *list;
	size_t count;
	/* The raw number of a point, on the thread of a guest (and, for what is safe, of the core). False
	 * where the device gives or takes none now. A guest that waits here ends with its time all the
	 * same where the engine can end it; a driver should not take long. */
	bool (*read)(void *ctx, size_t at, double *raw);
	bool (*write)(void *ctx, size_t at, double raw);
};

struct proplet_grant {
	const char *name; /* the guest's */
	uint8_t point;    /* its place in the list */
	bool write;
	uint16_t rate;
	int64_t tokens, at; /* thousandths of calls it may make now; as of when (monotonic ms) */
};

/* What one guest may do. driven: a bit for each output of the device that it drove. */
struct proplet_sense {
	const struct proplet_points *points;
	struct proplet_grant grants[PROPLET_GRANTS_MAX];
	size_t count;
	atomic_uint driven;
};

/* Puts the outputs of these bits to what is safe. */
void proplet_points_rest(const struct proplet_points *points, unsigned which);

#endif
