/*
 * What a Linux device trains on: record files (PFR1) in a directory, as the Linux proplet reads them
 * (proplet/runtime/samples.py has the format).
 */
#ifndef PROPLET_POSIX_RECORDS_H
#define PROPLET_POSIX_RECORDS_H

#include "lesson.h"

#define RECORDS_FILES 64 /* a directory of more is refused */

struct records {
	struct proplet_records slots; /* to hand to proplet_school_init */
	const char *const *names, *const *directories;
	size_t count;
	struct records_of {
		unsigned count;
		struct {
			int fd;
			uint64_t size; /* of its records, bytes */
		} files[RECORDS_FILES];
	} guests[PROPLET_SLOTS_MAX];
};

/* Names and directories, one by one, live as long. */
void records_init(struct records *records, const char *const *names, const char *const *directories,
		  size_t count);

#endif
