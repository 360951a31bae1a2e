/* A round in memory: blobs, records, an allocator that counts, and a guest whose calls a test makes. */
#ifndef FAKE_LESSON_H
#define FAKE_LESSON_H

#include "harness.h"
#include "imports.h"
#include "lesson.h"

#define CLASS_BLOBS 6
#define CLASS_BLOB 4096
#define CLASS_MEMORY 4096

struct class {
	struct proplet_port port;
	struct proplet_os os;
	struct proplet_records records;
	struct proplet_school school;
	struct {
		uint8_t digest[32];
		uint32_t size;
		uint8_t data[CLASS_BLOB];
	} blobs[CLASS_BLOBS];
	unsigned blob_count;
	unsigned taken; /* pieces of memory that were not given back */
	bool full;      /* storage is */
	struct proplet_shape train, test; /* of the records, whose bytes count up */
	int open_error;
	unsigned opened;

	uint8_t entry[2048];
	struct proplet_guest guest;
	struct proplet_job job;
	uint8_t memory[CLASS_MEMORY]; /* of the guest */
	char words[PROPLET_TEXT_MAX];
	uint64_t result;
	struct proplet_outcome outcome;
	struct proplet_ended ended;
};

/* Room for models and updates: 1 MiB. No blobs, no records. */
void class_init(struct class *c);
/* Stores bytes; writes a reference as JSON: {"digest":"sha256:...","size":n}. */
const char *class_blob(struct class *c, const void *data, size_t size, char ref[128]);
/* The guest of an entry whose `fl` is these members (JSON, without braces) besides the ids; mounts:
 * JSON of a list. False where that is no entry. */
bool class_entry(struct class *c, const char *step, const char *format, const char *mounts,
		 const char *more);
/* "" where the guest is taken, else the words of the refusal. */
const char *class_check(struct class *c);
bool class_begin(struct class *c);
/* Calls an import by its name; the words where it is refused, else NULL. */
const char *class_call(struct class *c, const char *name, const uint64_t *args);
/* The guest came to this end; `ended` says what is told of it. */
void class_end(struct class *c, enum proplet_end end, const char *text);
/* The blob that was kept last. */
const uint8_t *class_kept(const struct class *c, uint32_t *size);

#endif
